//! Recovery after a fault, and the state that it must reach.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use linkspan_harness::call::Output;
use linkspan_harness::fault::{Fault, Hit, Point, Tracer};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::thorough::{sample, times};
use linkspan_harness::{figure, skip};
use serde_json::Value;

use crate::LINKSPAN;
use crate::site::{Case, Site};

/// Hosts among which the points are divided, since most of the time is spent waiting for the kernel; fewer in an
/// everyday run, which has fewer points.
const HOSTS: (usize, usize) = (6, 2);

/// An everyday run takes one of so many points, and others for each trial.
const SELDOM: usize = 24;

fn hosts() -> usize {
    times(HOSTS.0, HOSTS.1)
}

/// One way to be hit and to recover.
#[derive(Debug, Clone, Copy)]
struct Trial {
    verb: &'static str,
    fault: Fault,
    recovery: Recovery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    /// None is needed after ADD's failure.
    ByItself,
    Del,
    Gc,
}

const TRIALS: [Trial; 7] = [
    trial("ADD", Fault::Error, Recovery::ByItself),
    trial("ADD", Fault::Errors, Recovery::Del),
    trial("ADD", Fault::Kill, Recovery::Del),
    trial("ADD", Fault::Kill, Recovery::Gc),
    trial("DEL", Fault::Error, Recovery::Del),
    trial("DEL", Fault::Kill, Recovery::Del),
    trial("DEL", Fault::Kill, Recovery::Gc),
];

/// Those where it is not the plugin that dies, but a program that it executes.
const OF_CHILD: [Trial; 2] = [
    trial("ADD", Fault::Kill, Recovery::ByItself),
    trial("DEL", Fault::Kill, Recovery::Del),
];

const fn trial(verb: &'static str, fault: Fault, recovery: Recovery) -> Trial {
    Trial {
        verb,
        fault,
        recovery,
    }
}

/// The outcomes, counted, and the failures.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

/// Hits the case in every way at every point.
pub(crate) fn withstands(case: Case) {
    if skip::can_trace(case.name) {
        // So that an ordinary user is root to all of the hosts.
        in_lab(LINKSPAN, |lab| {
            if case.can_attach(lab) {
                strike(case);
            }
        });
    }
}

fn strike(case: Case) {
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for host in 0..hosts() {
            let tally = &tally;
            let run = move || in_lab(LINKSPAN, |lab| strike_one(lab, (case, host), tally));
            let name = thread::current().name().unwrap_or_default().to_owned();
            let builder = thread::Builder::new().name(name);
            builder.spawn_scoped(scope, run).unwrap();
        }
    });
    let Tally { counts, wrong } = tally.into_inner().unwrap();
    let told: Vec<_> = counts
        .iter()
        .map(|(what, n)| format!("{n} {what}"))
        .collect();
    let Case { name, .. } = case;
    figure::tell(&format!("faults: {name}: {}", told.join(", ")));
    assert!(wrong.is_empty(), "{name}: {}", wrong.join("\n"));
    assert!(!counts.is_empty(), "{name}: nothing was hit");
}

fn strike_one(lab: &Lab, (case, host): (Case, usize), tally: &Mutex<Tally>) {
    let site = Site::new(lab, case);
    let mut tracer = Tracer::in_dir(site.dir());
    if case.of_child {
        tracer = tracer.of_child();
    }
    let course = Course::of(&site, &tracer);
    let trials: &[Trial] = if case.of_child { &OF_CHILD } else { &TRIALS };
    // The first that cannot be mended ends it.
    trials.iter().enumerate().try_for_each(|(nth, trial)| {
        let struck = course.points(*trial, nth).skip(host).step_by(hosts());
        let struck: Vec<_> = struck.collect();
        hit_everywhere((&site, &tracer, &course.result), (*trial, &struck), tally)
    });
}

/// Runs that nobody disturbed, and where they could be.
struct Course {
    of_add: Vec<Point>,
    of_del: Vec<Point>,
    result: Value,
}

impl Course {
    fn of(site: &Site<'_>, tracer: &Tracer) -> Self {
        let (add, of_add) = tracer.points(&site.call("ADD"));
        let (del, of_del) = tracer.points(&site.call("DEL"));
        del.succeeded();
        Self {
            of_add,
            of_del,
            result: add.json(),
        }
    }

    /// Where the `nth` trial strikes.
    fn points(&self, trial: Trial, nth: usize) -> impl Iterator<Item = &Point> {
        let all = if trial.verb == "ADD" {
            &self.of_add
        } else {
            &self.of_del
        };
        let struck = all
            .iter()
            .filter(move |point| trial.fault != Fault::Kill || point.modifies());
        sample(struck, nth, SELDOM)
    }
}

/// `None` where the host could not be mended.
fn hit_everywhere(
    (site, tracer, result): (&Site<'_>, &Tracer, &Value),
    (trial, points): (Trial, &[&Point]),
    tally: &Mutex<Tally>,
) -> Option<()> {
    if trial.recovery == Recovery::Gc && !site.is_on_host() {
        return Some(());
    }
    for &point in points {
        if trial.verb == "DEL" {
            site.call("ADD").run().succeeded();
        } else {
            site.untune();
        }
        let hit = tracer.hit(&site.call(trial.verb), point, trial.fault);
        let outcome = outcome(site, trial, point, (&hit, result));
        let outcome = outcome.and_then(|outcome| site.changed().map_or(Ok(outcome), Err));
        let mut tally = tally.lock().unwrap();
        match outcome {
            Ok(outcome) => {
                *tally
                    .counts
                    .entry(format!("{} {outcome}", trial.verb))
                    .or_default() += 1;
                continue;
            }
            Err(why) => tally.wrong.push(format!(
                "{trial:?} at {point:?}: {why}; it printed {:?}",
                hit.output.stdout
            )),
        }
        site.call("DEL").run();
        if site.changed().is_some() {
            site.gc();
            if let Some(changed) = site.changed() {
                tally.wrong.push(format!(
                    "{trial:?} at {point:?}: not to be mended, {changed}"
                ));
                return None;
            }
        }
    }
    Some(())
}

/// Recovers, and says in a word what the fault did, or else what is wrong with that.
fn outcome(
    site: &Site<'_>,
    trial: Trial,
    point: &Point,
    (hit, result): (&Hit, &Value),
) -> Result<&'static str, String> {
    if hit.hung {
        return Err("it hung".to_owned());
    }
    if hit.output.status == 0 {
        if trial.verb == "ADD" {
            is_whole(site, hit, result)?;
            ended("DEL", &site.call("DEL").run())?;
        }
        return Ok(if hit.injected { "borne" } else { "missed" });
    }
    let killed = trial.fault == Fault::Kill && !site.of_child;
    match trial.fault {
        _ if killed => {}
        // Where no write succeeds any more, nor does one to stderr.
        Fault::Errors if point.name == "write" => {}
        Fault::Error if hit.answer_lost => complains(hit)?,
        Fault::Kill | Fault::Error | Fault::Errors => explains(hit)?,
    }
    match trial.recovery {
        // A process that cannot return from the container's namespace must stop, even without an undo.
        Recovery::ByItself if hit.output.stdout.contains("return to netns") => {
            ended("DEL", &site.call("DEL").run())?;
            Ok("stranded, then DEL")
        }
        Recovery::ByItself => {
            if let Some(changed) = site.changed() {
                return Err(changed);
            }
            ended("DEL", &site.call("DEL").run())?;
            Ok("failed and undone")
        }
        Recovery::Del => {
            ended("DEL", &site.call("DEL").run())?;
            Ok(if killed {
                "killed, then DEL"
            } else {
                "failed, then DEL"
            })
        }
        Recovery::Gc => {
            ended("GC", &site.gc())?;
            Ok("killed, then GC")
        }
    }
}

fn ended(verb: &str, run: &Output) -> Result<(), String> {
    match run.status {
        0 => Ok(()),
        status => Err(format!("{verb} then ended with {status}: {}", run.stdout)),
    }
}

/// An ADD that could do without the call must have done everything.
fn is_whole(site: &Site<'_>, hit: &Hit, result: &Value) -> Result<(), String> {
    let printed =
        serde_json::from_str::<Value>(&hit.output.stdout).map_err(|err| err.to_string())?;
    for part in ["interfaces", "ips", "routes"] {
        let count = |result: &Value| result[part].as_array().map(Vec::len);
        if count(&printed) != count(result) {
            return Err(format!("the result lacks {part}"));
        }
    }
    ended("CHECK", &site.call("CHECK").after(&printed).run())
}

/// A process that cannot answer reports that if it still can, and has printed no answer.
fn complains(hit: &Hit) -> Result<(), String> {
    let Output { stdout, stderr, .. } = &hit.output;
    if stdout.is_empty() && stderr.starts_with("cannot write the answer: ") {
        Ok(())
    } else {
        Err(format!("a lost answer is told as {stderr:?}"))
    }
}

/// The one error object names what was attempted.
fn explains(hit: &Hit) -> Result<(), String> {
    let error = serde_json::from_str::<Value>(&hit.output.stdout);
    let error = error.map_err(|err| format!("no error object: {err}"))?;
    let msg = error["msg"].as_str().unwrap_or_default();
    // The second is the reference's text for a delegate that cannot be found.
    if [": ", " in path ["].iter().any(|sign| msg.contains(sign)) && !msg.contains('\n') {
        Ok(())
    } else {
        Err("the error does not say what was attempted".to_owned())
    }
}
