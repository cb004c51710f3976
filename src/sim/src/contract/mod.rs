//! Contract suites: what every implementation of a trait must do, written once and run on each.
//!
//! | suite | trait | runs on |
//! |---|---|---|
//! | [`disk_cloud`] | `DiskCloud` | memory, `local` on a real XFS, each cloud's adapter against its emulator |
//! | [`director`] | `Director` | memory, the BOSH client against the lab's Director |
//! | [`objects`] | `Objects` | memory, the crashing store of the proofs, a folder, S3 |
//! | [`server`] | `Server`, `Servers` | memory, the agent's client against real agents and PostgreSQL servers |
//!
//! A decorator (the retrying ones) passes the suite of what it wraps. Where two implementations differ the real
//! one is right and the fake is changed; where the lab differs from what `docs/reference/bosh-director.md` says of a
//! real Director, the lab is.
//!
//! # A new implementation
//!
//! A suite is given the implementation and a *fixture*: what the checks need of the landscape around it, which the
//! trait itself does not offer (in production a CPI, a VM, an operator do it). For an adapter of a cloud, in
//! `cloud/tests/<cloud>.rs`:
//!
//! ```ignore
//! #[tokio::test]
//! async fn aws_keeps_the_contract() {
//!     let emulator = Emulator::start();                       // or an account, where credentials are given
//!     let cloud: Arc<dyn DiskCloud> = Arc::new(AwsCloud::new(&emulator.config()));
//!     let report = disk_cloud::run("aws", cloud, Arc::new(AwsFixture(emulator))).await;
//!     report.assert_holds_but(&["a_snapshot_keeps_the_content"]);   // what the emulator cannot show, by name
//! }
//! ```
//!
//! 1. Implement [`disk_cloud::Fixture`] by the cloud's own API: nothing in it may go through the adapter.
//! 2. A fixture that cannot bring about a state answers so, and the check is *not shown*. The test names these
//!    checks, and fails as soon as there is another one: no check is lost in silence.
//! 3. A [`Report`] names the subject and each check that it breaks. Checks clean up behind themselves, on an
//!    account too, and carry a run of their own in their tags.
//! 4. Run the same suite on the adapter behind its retrying decorator: that is what flows are given.
//!
//! That a suite can fail is shown in `sim/tests/contract/liars`, which wraps the in-memory implementations in some
//! that lie. A check that catches no liar is worth little, and fails the tests there: plant one with a new check.

pub mod director;
pub mod disk_cloud;
pub mod objects;
pub mod server;
mod suite;
mod wait;

pub use suite::{Check, Report, Running, Verdict};
