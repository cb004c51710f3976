//! Whose a snapshot or disk is. Its tags say so from the call that makes it, and are compared before anything is deleted.
//!
//! | tag | says |
//! |---|---|
//! | `remount-store` | the object store that knows it: a changed bucket or prefix is another |
//! | `remount-director` | the Director's uuid: a second landscape may have a deployment of the same name |
//! | `remount-cluster` | the cluster |
//! | `remount-backup`, `remount-restore` | the run it was made for |
//! | `remount-epoch` | the lease under which it was made |

use remount_cloud::{Tags, tag};
use remount_core::{ClusterName, StoreId};

use crate::{FlowContext, FlowError, Result};

/// The landscape that this process acts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    store: StoreId,
    director: String,
}

impl Owner {
    /// Asks store and Director who they are.
    ///
    /// # Errors
    /// One of them does not answer, or the Director has no uuid.
    pub async fn of(ctx: &FlowContext) -> Result<Self> {
        let store = ctx.store.ensure_id().await.map_err(FlowError::store("read which store this is"))?;
        let info = ctx.director.info().await.map_err(FlowError::director("ask the Director who it is"))?;
        if info.uuid.is_empty() {
            return Err(FlowError::check(
                format!("the Director `{}` does not say its uuid", info.name),
                "check that `director.url` is that of a BOSH Director: `GET /info` has to answer with a uuid",
            ));
        }
        Ok(Self { store, director: info.uuid })
    }

    /// The tags of everything that is a cluster's.
    #[must_use]
    pub fn tags(&self, cluster: &ClusterName) -> Tags {
        Tags::from([
            (tag::STORE.into(), self.store.to_string()),
            (tag::DIRECTOR.into(), self.director.clone()),
            (tag::CLUSTER.into(), cluster.to_string()),
        ])
    }
}

/// Whether tags say that their object was made under a lease before this one: who made it is dead or fenced. What
/// does not say when is nobody's to judge.
#[must_use]
pub fn is_before(tags: &Tags, epoch: u64) -> bool {
    tags.get(tag::EPOCH).and_then(|text| text.parse::<u64>().ok()).is_some_and(|made| made < epoch)
}
