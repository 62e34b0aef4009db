//! The seam to whoever pays for a request.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::{Money, Timestamp};

/// Money that was set aside for one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// When; it counts in the periods that this lies in.
    pub at: Timestamp,
    /// How much.
    pub most: Money,
}

/// Who pays for a request: all budgets that it counts towards, as one.
///
/// What a try may cost is set aside before it is sent, and what it did cost takes its place, so that no number of requests
/// at one time oversteps any of the budgets.
pub trait Purse: fmt::Debug + Send + Sync {
    /// Sets aside `most`, or what there is where that is less, but not less than `least`; in every budget or in none.
    ///
    /// # Errors
    /// Which budget does not allow it, and until when, in words.
    fn reserve(&self, least: Money, most: Money) -> Result<Reservation, String>;

    /// Puts what a try did cost in the place of what was set aside for it.
    fn settle(&self, reservation: Reservation, cost: Money);

    /// The most that could be set aside now.
    fn left(&self) -> Money;
}

/// A purse that the parts of one request share.
#[derive(Clone, Debug)]
pub struct SharedPurse(Arc<dyn Purse>);

impl SharedPurse {
    /// One that pays from `purse`.
    pub fn new(purse: impl Purse + 'static) -> Self {
        Self(Arc::new(purse))
    }
}

impl Deref for SharedPurse {
    type Target = dyn Purse;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

/// Whether it is the same purse, not whether as much is in it.
impl PartialEq for SharedPurse {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
