//! TCP between two pods over veth pairs and over netkit pairs, in turns. It asserts nothing but that all of it arrives. For
//! figures: `LINKSPAN_ROUNDS=15 .ci/on 7.2 -p linkspan --test ptp beside`

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use linkspan_cli::traffic::{at, connect};
use linkspan_harness::conf::{addresses, host_local};
use linkspan_harness::figure;
use linkspan_harness::lab::{Lab, Sandbox};
use serde_json::json;

use crate::{NETKIT, VETH, of};

/// How often, where the environment does not say so.
const ROUNDS: usize = 1;
const BULK: usize = 64 << 20;
const TRIPS: usize = 1000;

/// Two pods with one kind of pair.
struct Pods {
    from: Sandbox,
    to: Sandbox,
    ip: IpAddr,
    /// Seconds for the bulk, and for the round trips.
    took: [Vec<f64>; 2],
}

impl Pods {
    fn attach(lab: &Lab, device: &str, subnet: &str) -> Self {
        let conf = json!({
            "cniVersion": "1.1.0", "name": device, "type": "ptp", "device": device,
            "ipam": host_local(lab, &[subnet]),
        });
        let (from, to) = (lab.sandbox(), lab.sandbox());
        let add = |id: &str, pod: &Sandbox| {
            let call = lab.plugin("ptp").of(id, pod);
            call.conf(&conf).add()
        };
        add("from", &from);
        let result = add("to", &to);
        Self {
            from,
            to,
            ip: addresses(&result)[0],
            took: [Vec::new(), Vec::new()],
        }
    }

    /// Runs both halves of a conversation, and notes the seconds from the first byte to the end of the asker's.
    fn measure(&mut self, which: usize, ask: fn(TcpStream), answer: fn(TcpStream)) {
        let listener = at(&self.to.netns, || TcpListener::bind((self.ip, 0))).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| answer(listener.accept().unwrap().0));
            let stream = connect(&self.from.netns, address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(None).unwrap();
            stream.set_write_timeout(None).unwrap();
            let begun = Instant::now();
            ask(stream);
            self.took[which].push(begun.elapsed().as_secs_f64());
        });
    }

    fn round(&mut self) {
        let bulk = |mut stream: TcpStream| {
            let piece = vec![0; 1 << 16];
            for _ in 0..BULK / piece.len() {
                stream.write_all(&piece).unwrap();
            }
            // The other one has it all.
            stream.read_exact(&mut [0]).unwrap();
        };
        self.measure(0, bulk, |mut stream| {
            let mut piece = vec![0; 1 << 16];
            for _ in 0..BULK / piece.len() {
                stream.read_exact(&mut piece).unwrap();
            }
            stream.write_all(&[0]).unwrap();
        });
        let ask = |mut stream: TcpStream| {
            for _ in 0..TRIPS {
                stream.write_all(&[0]).unwrap();
                stream.read_exact(&mut [0]).unwrap();
            }
        };
        self.measure(1, ask, |mut stream| {
            stream.set_nodelay(true).unwrap();
            for _ in 0..TRIPS {
                stream.read_exact(&mut [0]).unwrap();
                stream.write_all(&[0]).unwrap();
            }
        });
    }
}

#[test]
fn tcp_over_either_kind_in_turns() {
    of(NETKIT, |lab, _| {
        let rounds = std::env::var("LINKSPAN_ROUNDS").ok();
        let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
        let mut veth = Pods::attach(lab, VETH, "10.1.0.0/24");
        let mut netkit = Pods::attach(lab, NETKIT, "10.2.0.0/24");
        // The first round is for caches.
        for round in 0..=rounds {
            for pods in [&mut veth, &mut netkit] {
                pods.round();
                if round == 0 {
                    pods.took = [Vec::new(), Vec::new()];
                }
            }
        }
        for (which, what) in ["bulk", "round trips"].into_iter().enumerate() {
            let ratios = veth.took[which].iter().zip(&netkit.took[which]);
            let mut ratios: Vec<f64> = ratios.map(|(veth, netkit)| netkit / veth).collect();
            ratios.sort_by(f64::total_cmp);
            figure::tell(&format!(
                "{what}: netkit takes {:.3} of veth's time, {:.3} to {:.3} in the middle half of {rounds} rounds",
                ratios[rounds / 2],
                ratios[rounds / 4],
                ratios[rounds - 1 - rounds / 4],
            ));
            let median = |took: &[f64]| {
                let mut took = took.to_vec();
                took.sort_by(f64::total_cmp);
                took[took.len() / 2]
            };
            let [veth, netkit] = [&veth, &netkit].map(|pods| median(&pods.took[which]));
            figure::tell(&format!("{what}: veth {veth:.4} s, netkit {netkit:.4} s"));
        }
    });
}
