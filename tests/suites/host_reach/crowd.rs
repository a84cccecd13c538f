//! Many containers on one link of the host.

use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

use linkspan_harness::thorough::times;

use crate::stage::{Pod, of};

/// So many where the run is thorough; fewer in an everyday run.
const PODS: (usize, usize) = (197, 40);
const LANES: usize = 4;

#[test]
fn each_of_many_containers_needs_a_route_and_all_of_them_one_link() {
    of("macvlan", |stage| {
        let before = stage.snapshot();
        let count = u16::try_from(times(PODS.0, PODS.1)).unwrap();
        let links = stage.lab.rtnl().links().unwrap().len();
        let next = AtomicU16::new(2);
        let lane = || -> Vec<Pod> {
            let numbers = std::iter::from_fn(|| {
                let number = next.fetch_add(1, Ordering::Relaxed);
                (number < count + 2).then_some(number)
            });
            numbers.map(|number| stage.attach(number)).collect()
        };
        let pods: Vec<Pod> = thread::scope(|scope| {
            let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
            let each = lanes.into_iter().map(|lane| lane.join().unwrap());
            each.flatten().collect()
        });
        assert_eq!(pods.len(), usize::from(count));
        assert_eq!(stage.lab.rtnl().links().unwrap().len(), links + 1);
        // One of each family.
        assert_eq!(stage.routes().len(), pods.len() * 2);
        for pod in [&pods[0], &pods[pods.len() / 2], &pods[pods.len() - 1]] {
            stage.flows(pod);
            pod.chain.check(&pod.result);
        }
        thread::scope(|scope| {
            for some in pods.chunks(pods.len().div_ceil(LANES)) {
                scope.spawn(move || {
                    for pod in some {
                        pod.chain.del(&pod.result);
                    }
                });
            }
        });
        assert_eq!(stage.snapshot(), before);
        assert_eq!(stage.memories(), 0);
    });
}
