//! `<root>/store.json`: which store this is.

use serde::{Deserialize, Serialize};

use crate::StoreId;

/// Written once, by the control plane's first work in a store. What does not carry this id is not this store's to
/// judge: a changed bucket or prefix, a second landscape or a copy has another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreDocument {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The store's id.
    pub id: StoreId,
}
