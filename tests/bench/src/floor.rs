//! The floor: the kernel's own time for an attachment. One process that is running already sends the necessary
//! [`crate::requests`]; with runtimes at once, as many processes as ours.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use linkspan_harness::call::Call;
use linkspan_harness::lab::Sandbox;
use linkspan_netlink::netns::Netns;
use nix::sys::resource::UsageWho;

use crate::process::{Cost, Mode, timed};
use crate::requests::{Host, Seat, Work};
use crate::scenario::{Scenario, Who};

/// The default bridge.
const BRIDGE: &str = "benchfloor";

/// Under this name, the program sends the requests of one pod on a bridge, and ends.
pub(crate) const ASKER: &str = "asker";

/// One attachment, repeated.
#[derive(Debug)]
pub(crate) struct Floor {
    case: String,
    base: Option<String>,
    work: Work,
    /// The bridge's name.
    on: String,

    host: Host,
    /// The pods, by their number; the one of the rounds is the last number.
    seats: BTreeMap<u16, Seat>,
}

/// The number of the pod that is attached and detached in turns. The first ones are those of pods that live.
const ROUNDS: u16 = 20;

/// The floors of the cases in [`crate::cases`].
pub(crate) fn floors() -> Vec<Box<dyn Scenario>> {
    let bridge = |dual, ports| Work::Bridge { dual, ports };
    let cases = [
        ("loopback", Work::Loopback),
        ("bridge", bridge(false, None)),
        ("bridge with masquerade", bridge(false, None)),
        ("bridge, dual stack", bridge(true, None)),
        ("ptp", Work::Ptp),
        ("pod chain", bridge(false, Some(1))),
        ("pod chain, 20 ports", bridge(false, Some(20))),
        ("pod chain, 1,000 ports", bridge(false, Some(1000))),
    ];
    let floor = |(case, work)| -> Box<dyn Scenario> { Box::new(Floor::new(case, work)) };
    cases.into_iter().map(floor).collect()
}

impl Floor {
    /// Works in the namespace of the thread.
    pub(crate) fn new(case: &str, work: Work) -> Self {
        Self {
            case: case.to_owned(),
            base: None,
            work,
            on: BRIDGE.to_owned(),
            host: Host::here(),
            seats: BTreeMap::new(),
        }
    }

    /// On the bridge of others, as growth of another case.
    pub(crate) fn among(self, bridge: &str, base: Option<String>) -> Self {
        Self {
            on: bridge.to_owned(),
            base,
            ..self
        }
    }

    fn seat(&mut self, number: u16) {
        let seat = || Seat::new(Netns::create().unwrap(), number);
        self.seats.entry(number).or_insert_with(seat);
    }
}

impl Scenario for Floor {
    fn case(&self) -> String {
        self.case.clone()
    }

    fn who(&self) -> Who {
        Who::Floor
    }

    fn base(&self) -> Option<String> {
        self.base.clone()
    }

    fn prepare(&mut self) {
        self.seat(ROUNDS);
        if matches!(self.work, Work::Bridge { .. }) {
            self.host.prepare(&self.on);
        }
    }

    fn round(&mut self, _mode: &Mode) -> Vec<(&'static str, Cost)> {
        let (work, host, seat) = (self.work, &self.host, self.seats.get(&ROUNDS).unwrap());
        let of_thread = UsageWho::RUSAGE_THREAD;
        let ((), attached) = timed(of_thread, || work.attach(host, seat));
        let ((), detached) = timed(of_thread, || work.detach(host, seat));
        vec![("ADD", attached), ("DEL", detached)]
    }

    fn lives(&self) -> bool {
        !matches!(self.work, Work::Loopback)
    }

    fn attach(&mut self, number: u16) {
        self.seat(number);
        let seat = self.seats.get(&number).unwrap();
        self.work.attach(&self.host, seat);
    }

    fn detach(&mut self, number: u16) -> Cost {
        let seat = self.seats.get(&number).unwrap();
        let (work, host) = (self.work, &self.host);
        timed(UsageWho::RUSAGE_THREAD, || work.detach(host, seat)).1
    }
}

/// The pod of a runtime whose plugins do nothing but ask the kernel: one process for each plugin of the list, of which
/// the second has nothing to ask.
#[derive(Debug)]
pub(crate) struct Asked {
    _sandbox: Sandbox,
    asker: Call,
    idle: Call,
}

impl Asked {
    /// The pod of this number, on a bridge that is made unless it is there.
    pub(crate) fn new(links: &Path, number: u16) -> Self {
        Host::here().prepare(BRIDGE);
        let sandbox = Sandbox::new(Netns::create().unwrap());
        let asker = Call::new(&links.join(ASKER)).args(&[&number.to_string()]);
        Self {
            asker: asker.netns(&sandbox.path()),
            _sandbox: sandbox,
            idle: Call::new(&links.join(crate::NOTHING)),
        }
    }

    pub(crate) fn round(&self) -> [Cost; 2] {
        ["ADD", "DEL"].map(|verb| {
            let mut cost = Mode::Timed.run(&self.asker.clone().verb(verb)).1;
            cost += Mode::Timed.run(&self.idle).1;
            cost
        })
    }
}

/// The program of [`ASKER`].
#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark stands outside of the house"
)]
pub(crate) fn ask(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let number = args.next().unwrap().to_string_lossy().parse().unwrap();
    let netns = PathBuf::from(std::env::var_os("CNI_NETNS").unwrap());
    let seat = Seat::new(Netns::open(&netns).unwrap(), number);
    let (host, work) = (
        Host::here(),
        Work::Bridge {
            dual: false,
            ports: None,
        },
    );
    if std::env::var_os("CNI_COMMAND").is_some_and(|verb| verb == "ADD") {
        work.attach(&host.on(BRIDGE), &seat);
    } else {
        work.detach(&host, &seat);
    }
    ExitCode::SUCCESS
}
