//! The models as a table of coefficients by name, which is how they are stored and compiled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::inputs::{self, WIDTH};
use super::{LARGEST, QueryType, QueryTypeModel};

/// The form of the table.
const FORM: u32 = 1;

type Row = BTreeMap<String, f64>;

/// Coefficients that are 0 are left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Coefficients {
    form: u32,
    types: BTreeMap<QueryType, Row>,
    complexity: Row,
}

impl From<QueryTypeModel> for Coefficients {
    fn from(model: QueryTypeModel) -> Self {
        Self {
            form: FORM,
            types: QueryType::ALL.into_iter().zip(model.types.iter().map(by_name)).collect(),
            complexity: by_name(&model.complexity),
        }
    }
}

impl TryFrom<Coefficients> for QueryTypeModel {
    type Error = String;

    fn try_from(table: Coefficients) -> Result<Self, String> {
        if table.form != FORM {
            return Err(format!("the coefficients have the form {} where {FORM} is read", table.form));
        }
        let mut types = [[0.0; WIDTH]; QueryType::ALL.len()];
        for (row, query_type) in types.iter_mut().zip(QueryType::ALL) {
            let coefficients = table.types.get(&query_type);
            *row =
                parse(coefficients.ok_or_else(|| format!("the type `{query_type}` has no coefficients"))?)?;
        }
        Ok(Self { types, complexity: parse(&table.complexity)? })
    }
}

fn by_name(row: &[f64; WIDTH]) -> Row {
    let named = inputs::names().zip(row).filter(|(_, coefficient)| **coefficient != 0.0);
    named.map(|(name, coefficient)| (name.to_owned(), *coefficient)).collect()
}

fn parse(row: &Row) -> Result<[f64; WIDTH], String> {
    if let Some((name, value)) = row.iter().find(|(_, value)| value.is_nan() || value.abs() > LARGEST) {
        return Err(format!("the coefficient of `{name}` is {value}, which is not within ±{LARGEST}"));
    }
    inputs::row(row.iter().map(|(name, value)| (name.as_str(), *value)))
        .map_err(|name| format!("there is no input `{name}` that a coefficient could be of"))
}
