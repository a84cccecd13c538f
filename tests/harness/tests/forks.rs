//! Tests of one binary run in parallel, and start children all the time. Still, a file that one of them has written
//! can be executed, and a port that it has released can be bound again.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use linkspan_harness::call::Call;
use linkspan_harness::forks;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::thorough::times;
use linkspan_protocol::family::Family;

/// So many where the run is thorough; fewer in an everyday run.
const ROUNDS: (usize, usize) = (300, 100);
/// Other tests that start children.
const OTHERS: usize = 3;
const TRUE: &str = "/bin/true";

/// Ends the others, even if a round failed.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `round` repeatedly, beside the others.
fn beside_others(round: fn(&Lab)) {
    in_lab(TRUE, |lab| {
        let enough = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..OTHERS {
                scope.spawn(|| {
                    while !enough.load(Ordering::Relaxed) {
                        Call::new(Path::new(TRUE)).run().succeeded();
                    }
                });
            }
            let _ends = Ends(&enough);
            (0..times(ROUNDS.0, ROUNDS.1)).for_each(|_| round(lab));
        });
    });
}

#[test]
fn what_was_just_written_can_be_executed() {
    beside_others(|lab| {
        let program = lab.dir().join("program");
        let bytes = fs::read(TRUE).unwrap();
        forks::none(|| fs::write(&program, bytes)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Call::new(&program).run().succeeded();
        fs::remove_file(&program).unwrap();
        let script = lab.script_at(lab.dir().join("script"), "exit 0");
        Call::new(&script).run().succeeded();
    });
}

#[test]
fn a_port_that_was_just_given_up_is_free() {
    beside_others(|lab| {
        for family in Family::BOTH {
            Server::of(lab.host(), 80, family);
        }
    });
}
