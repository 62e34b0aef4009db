//! The one list of strategies.

use crate::Retriever;
use crate::dense::Dense;
use crate::hybrid::Hybrid;
use crate::reranked::Reranked;
use crate::rrf::ReciprocalRank;
use crate::sparse::Sparse;

/// Every strategy by name.
pub struct Registry {
    retrievers: Vec<Box<dyn Retriever>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            retrievers: vec![
                Box::new(Sparse),
                Box::new(Dense),
                Box::new(Hybrid),
                Box::new(ReciprocalRank),
                Box::new(Reranked),
            ],
        }
    }
}

impl Registry {
    /// The strategy called `name`.
    pub fn get(&self, name: &str) -> Option<&dyn Retriever> {
        self.iter().find(|retriever| retriever.name() == name)
    }

    /// All strategies, the cheapest first.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Retriever> {
        self.retrievers.iter().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let registry = Registry::default();
        let names: Vec<_> = registry.iter().map(Retriever::name).collect();
        assert_eq!(names, ["sparse", "dense", "hybrid", "rrf", "reranked"]);
        assert!(names.iter().all(|name| registry.get(name).is_some()));
        assert!(registry.get("Hybrid").is_none());
    }
}
