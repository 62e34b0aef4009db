//! Which crate may use which. Dependencies run one way, so that each crate can be read, tested and replaced
//! without those above it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::read_text;
use crate::finding::Finding;

/// The crates from the bottom up; each may use those of lower layers, and none of its own.
const LAYERS: [&[&str]; 5] = [
    &["types", TEST_PROVIDER],
    &[
        "ingest",
        "embedding",
        "index",
        "retrieval",
        "learning",
        "prompt",
        "context",
        "llm",
        "cache",
        "store",
        "telemetry",
    ],
    &["engine"],
    &["eval", "server"],
    &["cli"],
];

/// Stands in for providers of language models, and is never a part of the product.
const TEST_PROVIDER: &str = "test-provider";

const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>> {
    let shared = shared_dependencies(root)?;
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_member(file)) {
        let text = read_text(root, file)?.unwrap_or_default();
        match text.parse::<Table>() {
            Ok(manifest) => findings.extend(check_manifest(file, &text, &manifest, &shared)),
            Err(reason) => findings.push(Finding::of(file, format!("it is not TOML: {}", reason.message()))),
        }
    }
    Ok(findings)
}

/// The manifests of the workspace's members: `crates/*/Cargo.toml` and `xtask/Cargo.toml`.
fn is_member(file: &Path) -> bool {
    let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    matches!(parts[..], ["crates", _, "Cargo.toml"] | ["xtask", "Cargo.toml"])
}

fn shared_dependencies(root: &Path) -> Result<Table> {
    let path = root.join("Cargo.toml");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let manifest: Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
    let shared = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    Ok(shared.and_then(Value::as_table).cloned().unwrap_or_default())
}

fn check_manifest(file: &Path, text: &str, manifest: &Table, shared: &Table) -> Vec<Finding> {
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
    let Some(name) = name else {
        return vec![Finding::of(file, "its package has no name: a member of the workspace has one")];
    };
    let mut findings = Vec::new();
    if short_name(name).is_none_or(|short| layer(short).is_none()) && name != "xtask" {
        findings.push(Finding::at(file, line_of(text, "name"), unknown(name)));
    }
    for (key, package, table) in dependencies(manifest, shared) {
        if let Some(short) = short_name(&package)
            && let Some(message) = breach(name, short).or_else(|| product_breach(name, short, table))
        {
            findings.push(Finding::at(file, line_of(text, &key), message));
        }
    }
    findings
}

/// Keys of a manifest's dependencies of every kind and for every target, with the packages they stand for and the
/// table that they stand in.
fn dependencies(manifest: &Table, shared: &Table) -> Vec<(String, String, &'static str)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let tables = std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| TABLES.map(|name| Some((name, table.get(name)?.as_table()?))));
    let entries =
        tables.flatten().flat_map(|(name, table)| table.iter().map(move |(key, value)| (key, value, name)));
    entries.map(|(key, value, name)| (key.clone(), package(key, value, shared), name)).collect()
}

/// The package that a dependency stands for, which may have another name than its key.
fn package(key: &str, value: &Value, shared: &Table) -> String {
    let renamed = |value: &Value| value.get("package").and_then(Value::as_str).map(str::to_owned);
    renamed(value).or_else(|| shared.get(key).and_then(renamed)).unwrap_or_else(|| key.to_owned())
}

/// What is wrong with the package `name` using our crate `used`.
fn breach(name: &str, used: &str) -> Option<String> {
    let Some(below) = layer(used) else { return Some(unknown(&format!("burnish-{used}"))) };
    if name == "xtask" {
        return Some(format!("xtask uses `{used}`: chores stand beside the crates and use none of them"));
    }
    let short = short_name(name)?;
    let own = layer(short)?;
    (below >= own).then(|| {
        let allowed = LAYERS[..own].concat().join(", ");
        let allowed = if allowed.is_empty() { "no other of our crates" } else { &allowed };
        format!(
            "`{short}` uses `{used}`, against the direction of dependencies: it may use {allowed}; \
             put what both need in `types`, or join them in a crate above"
        )
    })
}

/// What is wrong with the package `name` using our crate `used` in the table `table`, though it lies below.
fn product_breach(name: &str, used: &str, table: &str) -> Option<String> {
    (used == TEST_PROVIDER && table != "dev-dependencies").then(|| {
        let name = short_name(name).unwrap_or(name);
        format!("`{name}` uses `{used}` in the product: it stands in for providers in tests alone, as a dev-dependency")
    })
}

fn layer(short: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&short))
}

/// The name of one of our crates without what all have in common; `None` for others.
fn short_name(package: &str) -> Option<&str> {
    if package == "burnish" { Some("cli") } else { package.strip_prefix("burnish-") }
}

fn unknown(package: &str) -> String {
    format!(
        "the crate `{package}` has no layer: name it in LAYERS in xtask/src/tidy/layers.rs, where it belongs"
    )
}

/// The line on which `key` is set, or the first one.
fn line_of(text: &str, key: &str) -> usize {
    let sets = |line: &str| {
        let rest = line.trim_start().trim_start_matches('"').strip_prefix(key);
        rest.is_some_and(|rest| rest.starts_with([' ', '.', '=', '"']))
    };
    let in_header = |line: &str| line.starts_with('[') && line.trim_end().ends_with(&format!(".{key}]"));
    text.lines().position(|line| sets(line) || in_header(line)).map_or(1, |place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{lines, workspace};
    use super::*;

    const ROOT: &str = "[workspace.dependencies]\nburnish-types = { path = \"crates/types\" }\n\
                        storage = { package = \"burnish-store\", path = \"crates/store\" }\n";

    fn findings(member: &str, manifest: &str) -> Vec<String> {
        let (dir, files) = workspace(&[("Cargo.toml", ROOT), (member, manifest)]);
        lines(&check(dir.path(), &files).unwrap())
    }

    #[test]
    fn dependencies_that_run_down_are_fine() {
        let cases = [
            ("types", "[dependencies]\nserde.workspace = true\n"),
            ("index", "[dependencies]\nburnish-types.workspace = true\n"),
            ("engine", "[dependencies]\nburnish-types.workspace = true\nburnish-index.workspace = true\n"),
            ("eval", "[dev-dependencies]\nburnish-engine = { path = \"../engine\" }\n"),
            ("cli", "[dependencies]\nburnish-server.workspace = true\nburnish-eval.workspace = true\n"),
        ];
        for (name, tables) in cases {
            let manifest = format!("[package]\nname = \"burnish-{name}\"\n{tables}");
            assert_eq!(findings("crates/x/Cargo.toml", &manifest), [""; 0], "{name}");
        }
        let binary = "[package]\nname = \"burnish\"\n[dependencies]\nburnish-engine.workspace = true\n";
        assert_eq!(findings("crates/cli/Cargo.toml", binary), [""; 0]);
    }

    #[test]
    fn dependencies_that_run_up_or_across_are_breaches() {
        let cases = [
            ("types", "[dependencies]\nburnish-index.workspace = true\n", 4, "index"),
            ("index", "[dependencies]\nserde = \"1\"\nburnish-store.workspace = true\n", 5, "store"),
            ("index", "[dev-dependencies]\nburnish-ingest.workspace = true\n", 4, "ingest"),
            ("index", "[build-dependencies]\nburnish-engine = { path = \"../engine\" }\n", 4, "engine"),
            ("llm", "[target.'cfg(unix)'.dependencies]\nburnish-store.workspace = true\n", 4, "store"),
            ("llm", "[dependencies.burnish-store]\nworkspace = true\n", 3, "store"),
            ("llm", "[dependencies]\nx = { package = \"burnish-cache\", path = \"../cache\" }\n", 4, "cache"),
            ("llm", "[dependencies]\nstorage.workspace = true\n", 4, "store"),
            ("engine", "[dependencies]\nburnish-server.workspace = true\n", 4, "server"),
            ("server", "[dependencies]\nburnish-eval.workspace = true\n", 4, "eval"),
            ("eval", "[dependencies]\nburnish = { path = \"../cli\" }\n", 4, "cli"),
        ];
        for (name, tables, line, used) in cases {
            let manifest = format!("[package]\nname = \"burnish-{name}\"\n{tables}");
            let found = findings("crates/x/Cargo.toml", &manifest);
            let expected =
                format!("crates/x/Cargo.toml:{line}: `{name}` uses `{used}`, against the direction");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{expected}\n{found:?}");
        }
    }

    #[test]
    fn the_test_provider_is_for_tests_alone() {
        let manifest = |table: &str| {
            format!("[package]\nname = \"burnish-llm\"\n[{table}]\nburnish-test-provider.workspace = true\n")
        };
        assert_eq!(findings("crates/x/Cargo.toml", &manifest("dev-dependencies")), [""; 0]);
        for table in ["dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            let found = findings("crates/x/Cargo.toml", &manifest(table));
            let expected = "crates/x/Cargo.toml:4: `llm` uses `test-provider` in the product";
            assert!(found.len() == 1 && found[0].starts_with(expected), "{table}: {found:?}");
        }
    }

    #[test]
    fn crates_without_a_layer_are_refused() {
        let cases = [
            (
                "crates/x/Cargo.toml",
                "[package]\nname = \"burnish-widget\"\n",
                ":2: the crate `burnish-widget` has no layer",
            ),
            ("crates/x/Cargo.toml", "[package]\nname = \"widget\"\n", ":2: the crate `widget` has no layer"),
            (
                "crates/x/Cargo.toml",
                "[package]\nname = \"burnish-llm\"\n[dependencies]\nburnish-widget.workspace = true\n",
                ":4: the crate `burnish-widget` has no layer",
            ),
            ("crates/x/Cargo.toml", "[package]\n", ": its package has no name"),
            ("crates/x/Cargo.toml", "[package\n", ": it is not TOML"),
            (
                "xtask/Cargo.toml",
                "[package]\nname = \"xtask\"\n[dependencies]\nburnish-types.workspace = true\n",
                ":4: xtask uses `types`",
            ),
        ];
        for (member, manifest, expected) in cases {
            let found = findings(member, manifest);
            let expected = format!("{member}{expected}");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{expected}\n{found:?}");
        }
    }
}
