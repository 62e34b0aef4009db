//! Filters on the wire: `{"all": [{"field": "format", "equals": "pdf"}, …]}`.

use burnish_types as inside;
use burnish_types::MetadataValue;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::ApiError;

/// The most values or conditions that one filter may have.
const MOST: usize = 1_000;

/// Conditions on the metadata of documents, which must all hold.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(default)]
    all: Vec<Condition>,
}

/// One condition: a field and exactly one of `equals`, `any_of` and `between`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// A metadata field; `format`, `source` and `document` are there for every document.
    field: String,
    /// The field has this value.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    equals: Option<MetadataValue>,
    /// The field has one of these values.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    any_of: Option<Vec<MetadataValue>>,
    /// The field is a number from the first to the second, both included.
    #[serde(default)]
    #[schema(value_type = Option<Vec<f64>>)]
    between: Option<[f64; 2]>,
}

impl Filter {
    /// The filter, `param` being where it stood in the request.
    pub(crate) fn into_inside(self, param: &str) -> Result<inside::Filter, ApiError> {
        if self.all.len() > MOST {
            let message = format!("{} conditions are too many: at most {MOST}", self.all.len());
            return Err(ApiError::invalid(format!("{param}.all"), message));
        }
        let conditions = self.all.into_iter().enumerate();
        let all =
            conditions.map(|(place, condition)| condition.into_inside(&format!("{param}.all[{place}]")));
        Ok(inside::Filter { all: all.collect::<Result<_, _>>()? })
    }
}

impl Condition {
    fn into_inside(self, param: &str) -> Result<inside::Condition, ApiError> {
        match (self.equals, self.any_of, self.between) {
            (Some(value), None, None) => Ok(inside::Condition::Equals(self.field, value)),
            (None, Some(values), None) if values.len() <= MOST => {
                Ok(inside::Condition::AnyOf(self.field, values))
            }
            (None, Some(values), None) => Err(ApiError::invalid(
                format!("{param}.any_of"),
                format!("{} values are too many: at most {MOST}", values.len()),
            )),
            (None, None, Some([low, high])) if low <= high => {
                Ok(inside::Condition::Between(self.field, low, high))
            }
            (None, None, Some([low, high])) => Err(ApiError::invalid(
                format!("{param}.between"),
                format!("{low} is greater than {high}: the lower bound comes first"),
            )),
            _ => Err(ApiError::invalid(
                param,
                format!("`{}` needs exactly one of `equals`, `any_of` and `between`", self.field),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_read_or_refused_with_their_place() {
        let text = |text: &str| MetadataValue::Text(text.to_owned());
        let read = |condition| {
            let filter: Filter = serde_json::from_value(json!({ "all": [condition] })).unwrap();
            filter.into_inside("filter").map(|filter| filter.all[0].clone())
        };
        let cases = [
            (json!({"field": "f", "equals": "pdf"}), inside::Condition::Equals("f".into(), text("pdf"))),
            (
                json!({"field": "f", "equals": true}),
                inside::Condition::Equals("f".into(), MetadataValue::Bool(true)),
            ),
            (
                json!({"field": "f", "any_of": ["a", 2]}),
                inside::Condition::AnyOf("f".into(), vec![text("a"), MetadataValue::Number(2.0)]),
            ),
            (
                json!({"field": "f", "between": [2000, 2010]}),
                inside::Condition::Between("f".into(), 2000.0, 2010.0),
            ),
        ];
        for (wire, expected) in cases {
            assert_eq!(read(wire).unwrap(), expected);
        }
        for (wire, param) in [
            (json!({"field": "f"}), "filter.all[0]"),
            (json!({"field": "f", "equals": 1, "any_of": [1]}), "filter.all[0]"),
            (json!({"field": "f", "between": [2, 1]}), "filter.all[0].between"),
        ] {
            assert_eq!(read(wire).unwrap_err().param.as_deref(), Some(param));
        }
    }
}
