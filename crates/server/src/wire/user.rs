//! Who asks, as the wire says it.

use std::collections::BTreeMap;

use burnish_types::UserContext;
use serde::Deserialize;
use utoipa::ToSchema;

/// Who asks. Everything in it is optional.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    /// Whose documents and learning these are.
    tenant: Option<String>,
    /// The person, in the caller's own terms.
    user: Option<String>,
    /// Anything else that is known: role, expertise, language.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

impl User {
    /// Somebody who is known by name alone.
    pub(crate) fn named(user: String) -> Self {
        Self { user: Some(user), ..Self::default() }
    }
}

impl From<User> for UserContext {
    fn from(User { tenant, user, attributes }: User) -> Self {
        Self { tenant, user, attributes }
    }
}
