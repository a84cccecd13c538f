//! The allocator against a model of it that is too simple to be wrong, over random pools and random operations.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linkspan_harness::dice::Dice;
use linkspan_harness::thorough::times;
use linkspan_host_local::ENTRY;
use linkspan_protocol::env::Env;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::pool::Pool;

/// A range of the model: all its addresses, in order, and the excluded ones.
struct ModelRange {
    all: Vec<IpAddr>,
    gateway: IpAddr,
    excluded: Vec<IpAddr>,
}

impl ModelRange {
    fn gives(&self, ip: IpAddr) -> bool {
        self.all.contains(&ip) && ip != self.gateway && !self.excluded.contains(&ip)
    }
}

#[derive(Default)]
struct Model {
    sets: Vec<Vec<ModelRange>>,
    last: Vec<Option<IpAddr>>,
    /// Owners and their addresses. An empty id means an address without an owner.
    leases: BTreeMap<IpAddr, String>,
}

impl Model {
    /// The candidates of a set in the reference's order: step by step after the last one, once around.
    fn candidates(&self, set: usize) -> Vec<IpAddr> {
        let all: Vec<_> = self.sets[set]
            .iter()
            .flat_map(|range| range.all.clone())
            .collect();
        let start = self.last[set].and_then(|last| all.iter().position(|ip| *ip == last));
        let start = start.map_or(0, |at| at + 1);
        let around = all.iter().cycle().skip(start).take(all.len());
        let gives = |ip: &IpAddr| self.sets[set].iter().any(|range| range.gives(*ip));
        around.copied().filter(gives).collect()
    }

    /// ADD; `None` if it must be refused.
    fn add(&mut self, id: &str, requested: &[IpAddr]) -> Option<Vec<IpAddr>> {
        let mut requested = requested.to_vec();
        requested.dedup();
        let mut given = Vec::new();
        for set in 0..self.sets.len() {
            let inside = |ip: &IpAddr| self.sets[set].iter().any(|range| range.all.contains(ip));
            let wanted = requested
                .iter()
                .position(inside)
                .map(|at| requested.remove(at));
            let candidates = self.candidates(set);
            if let Some(ip) = wanted {
                if !candidates.contains(&ip)
                    || self.leases.get(&ip).is_some_and(|id| !id.is_empty())
                {
                    return None;
                }
                // A remain of a crash is taken back on the way.
                self.leases.remove(&ip);
                given.push(ip);
                continue;
            }
            if self
                .leases
                .iter()
                .any(|(ip, holder)| holder == id && inside(ip))
            {
                return None;
            }
            let free = |leases: &BTreeMap<IpAddr, String>| {
                candidates
                    .iter()
                    .copied()
                    .find(|ip| !leases.contains_key(ip))
            };
            if free(&self.leases).is_none() {
                self.leases
                    .retain(|ip, holder| !holder.is_empty() || !candidates.contains(ip));
            }
            given.push(free(&self.leases)?);
        }
        if !requested.is_empty() {
            return None;
        }
        for (set, ip) in given.iter().enumerate() {
            self.leases.insert(*ip, id.to_owned());
            self.last[set] = Some(*ip);
        }
        Some(given)
    }
}

fn family(dice: &mut Dice) -> Family {
    *dice.one_of(&Family::BOTH).unwrap()
}

fn ip(family: Family, set: u64, offset: u64) -> IpAddr {
    let offset = u8::try_from(offset).unwrap();
    if family == Family::V6 {
        Ipv6Addr::new(
            0xfd00,
            0,
            0,
            u16::try_from(set).unwrap(),
            0,
            0,
            0,
            offset.into(),
        )
        .into()
    } else {
        Ipv4Addr::new(10, 0, u8::try_from(set).unwrap(), offset).into()
    }
}

/// A range out of sixteen addresses at `base`, in the model's form and in the configuration's.
fn range(dice: &mut Dice, family: Family, set: u64, base: u64) -> (ModelRange, Value) {
    let at = |offset| ip(family, set, base + offset);
    let last = family.pick(14, 15);
    let (start, end) = (1 + dice.below(4), last - dice.below(4));
    let gateway = at(dice.below(16));
    let excluded: Vec<_> = (0..dice.below(4)).map(|_| at(dice.below(16))).collect();
    let prefix = family.pick(28, 124);
    let conf = json!({
        "subnet": format!("{}/{prefix}", at(0)),
        "rangeStart": at(start),
        "rangeEnd": at(end),
        "gateway": gateway,
        "exclude": excluded,
    });
    let all = (start..=end).map(at).collect();
    (
        ModelRange {
            all,
            gateway,
            excluded,
        },
        conf,
    )
}

/// Serves a call inside this process. Returns the addresses of an ADD, or `None` if refused.
fn serve(verb: &str, id: &str, conf: &Value) -> Option<Vec<IpAddr>> {
    let env = Env {
        command: verb.to_owned(),
        container_id: id.to_owned(),
        netns: "/nowhere/netns".to_owned(),
        ifname: "eth0".to_owned(),
        path: "/nowhere".to_owned(),
        ..Env::default()
    };
    let reply = ENTRY.serve(&env, &mut || Ok(conf.to_string().into_bytes()));
    if !reply.ok {
        return None;
    }
    let result: Value = serde_json::from_slice(&reply.stdout).unwrap_or_default();
    let ips = result["ips"].as_array().into_iter().flatten();
    let address = |ip: &Value| {
        let text = ip["address"].as_str().unwrap();
        text.split('/').next().unwrap().parse().unwrap()
    };
    Some(ips.map(address).collect())
}

/// One random pool under random operations.
fn scenario(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut model = Model::default();
    let mut sets = Vec::new();
    for set in 0..=dice.below(2) {
        let family = family(&mut dice);
        let ranges = 0..=dice.below(3);
        let ranges = ranges.map(|n| range(&mut dice, family, set, n * 16));
        let (ranges, confs): (Vec<_>, Vec<_>) = ranges.collect::<Vec<_>>().into_iter().unzip();
        model.sets.push(ranges);
        model.last.push(None);
        sets.push(confs);
    }
    let pool = Pool::new(&format!("model{seed}"), &json!({ "ranges": sets }));
    let ids: Vec<_> = (0..24).map(|n| format!("id{n}")).collect();
    for step in 0..150 {
        let at = format!("seed {seed}, step {step}");
        let id = dice.one_of(&ids).unwrap();
        match dice.below(20) {
            0..=9 => {
                assert_eq!(
                    serve("ADD", id, &pool.conf(&json!({}))),
                    model.add(id, &[]),
                    "{at}"
                );
            }
            10..=12 => {
                let ips: Vec<_> = (0..=dice.below(2))
                    .map(|_| ip(family(&mut dice), dice.below(2), dice.below(64)))
                    .collect();
                let conf = pool.conf(&json!({ "runtimeConfig": { "ips": ips } }));
                assert_eq!(
                    serve("ADD", id, &conf),
                    model.add(id, &ips),
                    "{at}: {ips:?}"
                );
            }
            13..=16 => {
                assert!(serve("DEL", id, &pool.conf(&json!({}))).is_some(), "{at}");
                model.leases.retain(|_, holder| holder != id);
            }
            17 => foreign(&mut dice, &pool, &mut model),
            18 => {
                let held = model.leases.values().any(|holder| holder == id);
                assert_eq!(
                    serve("CHECK", id, &pool.conf(&json!({}))).is_some(),
                    held,
                    "{at}"
                );
            }
            _ => {
                let valid: Vec<_> = ids
                    .iter()
                    .map(String::as_str)
                    .filter(|_| dice.below(4) > 0)
                    .collect();
                assert!(serve("GC", "", &pool.valid(&valid)).is_some(), "{at}");
                model
                    .leases
                    .retain(|_, holder| valid.contains(&holder.as_str()));
            }
        }
        let stored: BTreeMap<_, _> = pool
            .leases()
            .into_iter()
            .map(|(ip, text)| (ip, text.replace("\r\neth0", "")))
            .collect();
        assert_eq!(stored, model.leases, "{at}");
    }
}

/// Another program adds a lease, leaves an incomplete one, or removes one.
fn foreign(dice: &mut Dice, pool: &Pool, model: &mut Model) {
    let set = usize::try_from(dice.below(model.sets.len() as u64)).unwrap();
    let Some(ip) = dice.one_of(&model.candidates(set)).copied() else {
        return;
    };
    if model.leases.remove(&ip).is_some() {
        std::fs::remove_file(pool.dir().join(ip.to_string())).unwrap();
        return;
    }
    let (id, text) = match dice.below(2) {
        0 => (String::new(), String::new()),
        _ => ("foreign".to_owned(), "foreign\r\neth0".to_owned()),
    };
    pool.plant(&ip.to_string(), &text);
    model.leases.insert(ip, id);
}

#[test]
fn the_allocator_is_its_model() {
    for seed in 0..crate::torture::asked().unwrap_or_else(|| times(12, 4)) {
        scenario(seed as u64);
    }
}
