//! The command lines of the `linkspan` binary. [`suite`] is their view of its plugins.
//!
//! - [`linkspan`]: its own; [`cnitool`]: that of the Go tool.
//! - `install`, `validate`, `demo`, `run`, `list`, `graph`, `inspect`, `ports`, `warnings`, `doctor`, `metrics`: one command
//!   each; `attachments` has the names of what they are about, `end` their exit statuses, `output` how they print.
//! - [`traffic`] and [`outside`]: packets and a world for the demonstration and the tests.

mod addressing;
mod attachments;
mod back;
pub mod cnitool;
mod columns;
mod complain;
mod completion;
mod demo;
mod doctor;
mod end;
mod graph;
mod inspect;
mod install;
pub mod linkspan;
mod list;
mod listeners;
mod metrics;
mod output;
pub mod outside;
mod pause;
mod plugins;
mod ports;
mod publish;
mod run;
pub mod suite;
pub mod traffic;
mod validate;
mod warnings;
mod wishes;
