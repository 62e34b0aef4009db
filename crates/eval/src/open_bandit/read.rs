//! Reads the table of impressions in a folder of the Open Bandit data set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{BanditLog, Impression};
use crate::EvalError;
use crate::dataset::Lines;

/// Features' values on fewer rows teach nothing.
const FEWEST_ROWS: usize = 20;
/// At most so many values make up the context, the most frequent ones.
const MOST_VALUES: usize = 64;

pub(super) fn load(dir: &Path) -> Result<BanditLog, EvalError> {
    let path = table(dir)?;
    let mut lines = Lines::open(&path)?;
    let header = lines.next().transpose()?.map(|(_, line)| line).unwrap_or_default();
    let columns = Columns::of(&header).map_err(|reason| EvalError::line(&path, 1, reason))?;
    let mut impressions = Vec::new();
    let mut features = Vec::new();
    for line in lines {
        let (number, line) = line?;
        let (shown, values) =
            columns.parse(&line).map_err(|reason| EvalError::line(&path, number, reason))?;
        impressions.push(shown);
        features.push(values);
    }
    if impressions.is_empty() {
        return Err(refused(dir, format!("`{}` has no rows", path.display())));
    }
    let places = places(&features);
    for (shown, values) in impressions.iter_mut().zip(&features) {
        shown.context = vec![0.0; places.len()];
        for value in values.iter().enumerate() {
            if let Some(&place) = places.get(&(value.0, value.1.as_str())) {
                shown.context[place] = 1.0;
            }
        }
    }
    Ok(BanditLog { folder: dir.to_owned(), impressions })
}

/// The one table beside `item_context.csv`.
fn table(dir: &Path) -> Result<PathBuf, EvalError> {
    let mut tables = Vec::new();
    for entry in fs::read_dir(dir).map_err(EvalError::read(dir))? {
        let path = entry.map_err(EvalError::read(dir))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_table = name.ends_with(".csv") || name.ends_with(".csv.gz");
        if is_table && !name.starts_with("item_context.") {
            tables.push(path);
        }
    }
    match tables.as_slice() {
        [table] => Ok(table.clone()),
        found => Err(refused(
            dir,
            format!(
                "it has {} tables besides item_context.csv, and should have one, such as random/men/men.csv",
                found.len()
            ),
        )),
    }
}

fn refused(dir: &Path, reason: String) -> EvalError {
    EvalError::OpenBandit { folder: dir.to_owned(), reason }
}

/// Where the columns stand that are read.
struct Columns {
    count: usize,
    item: usize,
    position: usize,
    click: usize,
    propensity: usize,
    features: Vec<usize>,
}

impl Columns {
    fn of(header: &str) -> Result<Self, String> {
        let names: Vec<&str> = header.split(',').collect();
        let place = |name: &str| {
            names
                .iter()
                .position(|found| *found == name)
                .ok_or_else(|| format!("the header has no column `{name}`"))
        };
        let is_feature = |place: &usize| names[*place].starts_with("user_feature_");
        Ok(Self {
            count: names.len(),
            item: place("item_id")?,
            position: place("position")?,
            click: place("click")?,
            propensity: place("propensity_score").or_else(|_| place("action_prob"))?,
            features: (0..names.len()).filter(is_feature).collect(),
        })
    }

    fn parse(&self, line: &str) -> Result<(Impression, Vec<String>), String> {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() != self.count {
            return Err(format!("it has {} fields, the header {}", fields.len(), self.count));
        }
        let whole = |place: usize, name: &str| {
            let wrong = |_| format!("{name} `{}` is not a whole number", fields[place]);
            fields[place].parse::<u32>().map_err(wrong)
        };
        let clicked = match fields[self.click] {
            "0" => false,
            "1" => true,
            other => return Err(format!("click `{other}` is neither 0 nor 1")),
        };
        let propensity = fields[self.propensity].parse().unwrap_or(f64::NAN);
        if !(propensity > 0.0 && propensity <= 1.0) {
            return Err(format!("the propensity `{}` is not in (0, 1]", fields[self.propensity]));
        }
        let shown = Impression {
            item: whole(self.item, "item_id")?,
            position: whole(self.position, "position")?,
            clicked,
            propensity,
            context: Vec::new(),
        };
        Ok((shown, self.features.iter().map(|&place| fields[place].to_owned()).collect()))
    }
}

/// The place in the context of each value that is frequent enough.
fn places(features: &[Vec<String>]) -> BTreeMap<(usize, &str), usize> {
    let mut counts: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    for value in features.iter().flat_map(|values| values.iter().enumerate()) {
        *counts.entry((value.0, value.1.as_str())).or_default() += 1;
    }
    let mut frequent: Vec<_> = counts.into_iter().filter(|(_, rows)| *rows >= FEWEST_ROWS).collect();
    frequent.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
    frequent.truncate(MOST_VALUES);
    frequent.into_iter().enumerate().map(|(place, (value, _))| (value, place)).collect()
}
