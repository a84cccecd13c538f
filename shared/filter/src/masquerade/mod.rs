//! `ipMasq`: the host's address replaces the container's as the source.

mod go_suite;
mod holder;
mod native;
mod rules;
mod upgrade;
mod zone;

use linkspan_owner::{Stale, Subject};
use linkspan_plugin::{DelCall, GcCall, Result, StatusCall, Undo};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::AddResult;

use crate::backend::Backend;
use crate::iptables::Iptables;
use crate::table::{self, Part, Support};
use native::{Need, Unable};
pub use rules::unless_multicast;

pub use holder::Ingress;

/// The part of the table, for those who tell what is in it.
pub fn part() -> &'static Part {
    &rules::PART
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    backend: Option<Backend>,
    except: Vec<Cidr>,
}

impl Masquerade {
    /// Parses `ipMasq`, `ipMasqBackend` and `ipMasqExcept`. The latter two are ignored if the first is off.
    pub fn parse(on: bool, backend: Option<&str>, except: &[String]) -> Result<Option<Self>> {
        if !on {
            return Ok(None);
        }
        let backend = Backend::parse("ipMasqBackend", backend)?;
        let network = |text: &String| {
            Cidr::parse(text).map_err(|err| {
                Failure::config(format!("ipMasqExcept: {err}"))
                    .hint("list networks such as \"10.0.0.0/8\"")
            })
        };
        let except = except.iter().map(network).collect::<Result<_>>()?;
        Ok(Some(Self { backend, except }))
    }

    /// Masquerades packets that come in by `ingress` from addresses of `result`.
    pub fn apply(
        &self,
        subject: Subject<'_>,
        ingress: &Ingress,
        result: &AddResult,
        undo: &mut Undo,
    ) -> Result<()> {
        if self.backend != Some(Backend::Iptables) {
            let need = Need::of(subject, ingress, &result.ips, &self.except);
            match native::apply(need, undo)? {
                Ok(()) => return Ok(()),
                Err(unable) if self.backend.is_some() => return Err(unsupported(&unable)),
                Err(_) => {}
            }
        }
        go_suite::apply(subject, result, &self.except, undo)
    }

    /// Restores missing state. Does nothing for containers of the Go suite that have their chains.
    pub fn restore(
        &self,
        subject: Subject<'_>,
        ingress: &Ingress,
        result: &AddResult,
    ) -> Result<()> {
        let netfilter = table::open()?;
        if go_suite::is_there(subject, netfilter.as_ref())? {
            return Ok(());
        }
        if let Ingress::Group(_) = ingress {
            upgrade::regroup(&subject.owner())?;
        }
        let restored = Undo::scope(|undo| self.apply(subject, ingress, result, undo));
        restored.map(|_| ())
    }

    /// Verifies the masquerade of every address: in our table, or in the chains of the Go suite for its containers.
    pub fn verify(
        &self,
        subject: Subject<'_>,
        ingress: &Ingress,
        result: &AddResult,
    ) -> Result<()> {
        let netfilter = table::open()?;
        match netfilter.as_ref() {
            Some(netfilter)
                if self.backend != Some(Backend::Iptables)
                    && !go_suite::is_there(subject, Some(netfilter))? =>
            {
                let need = Need::of(subject, ingress, &result.ips, &self.except);
                native::verify(netfilter, &need)
            }
            netfilter => go_suite::verify(subject, result, netfilter),
        }
    }

    /// Fails if no packet filter is usable.
    pub fn status(&self, _call: &StatusCall) -> Result<()> {
        let refused = match self.backend {
            Some(Backend::Iptables) => Iptables::of(Family::V4).saved().err(),
            backend => match (table::support(&rules::PART), backend) {
                (Ok(Support::Whole(_)), _) => None,
                (Ok(_), None) => Iptables::of(Family::V4).saved().err(),
                (Ok(Support::Absent), _) => Some(unsupported(&Unable::Absent)),
                (Ok(Support::Lacking(err)), _) => Some(unsupported(&Unable::Lacking(err))),
                (Err(failure), _) => Some(failure),
            },
        };
        refused.map_or(Ok(()), |failure| {
            Err(failure
                .with_code(ErrorCode::NOT_AVAILABLE)
                .context("ipMasq has no usable packet filter"))
        })
    }
}

/// Removes the attachment's state from every packet filter, also if the configuration lacks `ipMasq` by now, and for
/// either suite. State shared with the network stays.
pub fn remove(call: &DelCall) -> Result<()> {
    let opened = table::open_whole(&rules::PART)?;
    let netfilter = opened.as_ref().map(|(netfilter, _)| netfilter);
    if let Some(netfilter) = netfilter {
        native::remove(netfilter, &call.owner())?;
    }
    go_suite::remove(call, netfilter)
}

/// Removes the state of stale attachments from our table, from the Go suite's, and from iptables. Also removes the
/// network's shared state if no attachment is valid.
pub fn collect(call: &GcCall, stale: &Stale) -> Result<()> {
    let opened = table::open_whole(&rules::PART)?;
    let netfilter = opened.as_ref().map(|(netfilter, _)| netfilter);
    if let Some(netfilter) = netfilter {
        native::collect(netfilter, stale)?;
    }
    go_suite::collect(call, netfilter)
}

fn unsupported(unable: &Unable) -> Failure {
    let why = match unable {
        Unable::Absent => "this kernel has no nf_tables".to_owned(),
        Unable::Lacking(err) => format!("this kernel's nf_tables lacks a part: {err}"),
    };
    Failure::new(ErrorCode::INTERNAL, format!("masquerade: {why}")).hint(
        "load the kernel modules nf_tables, nft_chain_nat and nft_masq, or set \"ipMasqBackend\" to \"iptables\"",
    )
}
