//! One PostgreSQL server: control data, backup mode, data-directory preparation, recovery settings,
//! and the agent's API through which a driver reaches it ([`Server`]).
//!
//! | where | what |
//! |---|---|
//! | [`ControlData`] | who the data directory is, read while the server is down |
//! | [`DataDirectory`] | turning a copy from a snapshot into one that will recover |
//! | [`RecoverySettings`] | the lines in `postgresql.auto.conf` that make it do so, and their removal |
//! | [`LocalServer`], [`BackupSession`] | the server on this machine, over its Unix socket |
//! | [`RemoteServers`] | the agents of other machines, over HTTPS with client certificates |
//!
//! Never here: a decision whether to start, restore or refuse (the agent's), or the object store.

mod auto_conf;
mod backup_session;
mod collations;
mod control_data;
mod data_directory;
mod effective;
mod error;
mod instance;
mod local;
mod local_collations;
mod local_status;
mod places;
mod recovery;
mod recovery_settings;
mod remote;
mod retrying;
mod room;

pub use backup_session::BackupSession;
pub use collations::{changed_collations, reindex_commands};
pub use control_data::{ControlData, DEMANDED, DatabaseState, Demands};
pub use data_directory::{DataDirectory, DataState, Preparation, Signal};
pub use effective::{SettingOverride, Severity};
pub use error::{ApiError, Error};
pub use instance::{
    BackupBegun, BackupEnded, BeginBackup, CollationRefresh, Forwarded, NamedBackup, NamedRestore,
    PromoteRestore, Result, Server, ServerStatus, Servers, StreamedWal, WalSwitched, WriteProbe,
};
pub use local::{LocalConfig, LocalServer, Reachable, Received};
pub use local_status::Identity;
pub use recovery::{Promoted, Recovery, VerifiedPosition};
pub use recovery_settings::{RecoveryGoal, RecoverySettings};
pub use remote::{AgentsConfig, RemoteServer, RemoteServers, agent_tls_name};
pub use retrying::RetryingServers;
pub use room::FreeSpace;
