//! The one list of strategies.

use crate::Retriever;
use crate::decomposed::Decomposed;
use crate::dense::Dense;
use crate::expanded::Expanded;
use crate::hybrid::Hybrid;
use crate::hyde::Hyde;
use crate::none::Nothing;
use crate::reranked::Reranked;
use crate::rewritten::Rewritten;
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
                Box::new(Nothing),
                Box::new(Sparse),
                Box::new(Dense),
                Box::new(Hybrid),
                Box::new(ReciprocalRank),
                Box::new(Expanded),
                Box::new(Decomposed),
                Box::new(Reranked),
                Box::new(Rewritten),
                Box::new(Hyde),
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
        let expected = [
            "none",
            "sparse",
            "dense",
            "hybrid",
            "rrf",
            "expanded",
            "decomposed",
            "reranked",
            "rewritten",
            "hyde",
        ];
        assert_eq!(names, expected);
        assert!(names.iter().all(|name| registry.get(name).is_some()));
        assert!(registry.get("Hybrid").is_none());
    }
}
