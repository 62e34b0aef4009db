//! What `/openapi.json` says is what there is.

use reqwest::Method;
use serde_json::Value;

use super::harness::Server;

#[tokio::test]
async fn every_described_route_answers() {
    let server = Server::start().await;
    let description = server.get_json("/openapi.json").await;
    assert_eq!(description, burnish_server::openapi());
    let mut routes = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (name, operation) in operations.as_object().unwrap() {
            let method: Method = name.to_uppercase().parse().unwrap();
            let response = server.request(method.clone(), &path.replace("{id}", "0")).send().await.unwrap();
            let status = response.status().as_u16();
            let described = operation["responses"].get(status.to_string()).is_some();
            assert!(described || status == 415, "{method} {path} answered {status}, which is not described");
            if status >= 400 && status != 415 {
                let error: Value = response.json().await.unwrap();
                // Not the router's own.
                assert!(error["error"]["param"].is_string(), "{method} {path}: {error}");
            }
            routes.push(format!("{method} {path}"));
        }
    }
    routes.sort();
    insta::assert_snapshot!(routes.join("\n"), @r"
    DELETE /v1/batch/{id}
    DELETE /v1/documents/{id}
    DELETE /v1/feedback
    DELETE /v1/learning/trees
    DELETE /v1/templates/{id}/search
    GET /healthz
    GET /metrics
    GET /openapi.json
    GET /readyz
    GET /v1/batch
    GET /v1/batch/{id}
    GET /v1/chunks/{id}
    GET /v1/decisions/{id}
    GET /v1/documents
    GET /v1/documents/{id}
    GET /v1/experiments
    GET /v1/experiments/{id}
    GET /v1/learning
    GET /v1/models
    GET /v1/models/{id}
    GET /v1/prompts/changes
    GET /v1/prompts/insights
    GET /v1/templates
    GET /v1/templates/{id}
    GET /v1/templates/{id}/search
    POST /v1/batch
    POST /v1/chat/completions
    POST /v1/context/optimize
    POST /v1/documents
    POST /v1/embeddings
    POST /v1/experiments
    POST /v1/experiments/{id}/promote
    POST /v1/experiments/{id}/{action}
    POST /v1/feedback
    POST /v1/learning
    POST /v1/plan
    POST /v1/prompts/optimize
    POST /v1/related
    POST /v1/route
    POST /v1/search
    POST /v1/templates/render
    POST /v1/templates/{id}/pin
    POST /v1/templates/{id}/rewrite
    POST /v1/templates/{id}/search
    POST /v1/templates/{id}/use
    POST /v1/templates/{id}/versions
    ");
}

#[test]
fn every_reference_leads_somewhere() {
    let description = burnish_server::openapi();
    let mut references = Vec::new();
    collect(&description, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
