//! A program opens the device: as its owner, with several queues, and with headers before frames.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::UdpSocket;
use std::os::fd::AsFd;

use linkspan_harness::conf::with;
use linkspan_harness::lab::Sandbox;
use linkspan_harness::{skip, tun};
use linkspan_netlink::link::Tun;
use nix::libc::{IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

use crate::{MAC, call, eth0, in_tap_lab, settings};

/// The owner of a device, and its group.
const USER: (u32, u32) = (1000, 1001);
const OTHER: (u32, u32) = (1002, 1002);

/// Bytes of virtio's header before a frame.
const VNET_HEADER: usize = 10;

/// Returns whether other users than root exist here.
fn has_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let is_whole = map.split_whitespace().last() == Some("4294967295");
    if !is_whole {
        skip::tell("a device of another user: there is none in this user namespace");
    }
    is_whole
}

#[test]
fn its_owner_opens_it_with_four_queues_and_reads_frames() {
    in_tap_lab(|lab| {
        if !has_users() {
            return;
        }
        let sandbox = lab.sandbox();
        let over = json!({ "multiQueue": true, "owner": USER.0, "group": USER.1, "mac": MAC });
        let call = call(lab, &sandbox, &over);
        let result = call.add();
        let asked = Tun {
            is_tap: true,
            owner: Some(USER.0),
            group: Some(USER.1),
            has_packet_info: false,
            has_vnet_header: true,
            is_persistent: true,
            has_many_queues: true,
        };
        assert_eq!(settings(&sandbox), asked);
        let flags = IFF_MULTI_QUEUE | IFF_NO_PI | IFF_VNET_HDR;
        let open = |count, user| tun::queues(&sandbox.netns, ("eth0", flags), count, user);
        let queues = open(4, USER).unwrap();
        call.check(&result);
        // Other users may not, and the owner may through the group.
        let refused = open(1, OTHER).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert_eq!(
            ask_for_a_neighbour(&sandbox, &queues, VNET_HEADER),
            [2, 0, 0, 0, 0, 7]
        );
        drop(queues);
        // It persists while it is closed.
        call.check(&result);
        call.after(&result).del();
        assert!(eth0(&sandbox).is_none());
    });
}

#[test]
fn a_header_before_frames_is_as_it_is_asked_for() {
    in_tap_lab(|lab| {
        if !has_users() {
            return;
        }
        for (over, flags, before) in [
            (json!({}), IFF_NO_PI, 0),
            (json!({ "vnetHdr": false }), IFF_NO_PI, 0),
            (json!({ "packetInfo": true }), 0, 4),
            (
                json!({ "vnetHdr": true }),
                IFF_NO_PI | IFF_VNET_HDR,
                VNET_HEADER,
            ),
        ] {
            let sandbox = lab.sandbox();
            let over = with(json!({ "owner": USER.0, "mac": MAC }), &over);
            let call = call(lab, &sandbox, &over);
            let result = call.add();
            let queue = tun::queues(&sandbox.netns, ("eth0", flags), 1, USER).unwrap();
            let from = ask_for_a_neighbour(&sandbox, &queue, before);
            assert_eq!(from, [2, 0, 0, 0, 0, 7], "{over}");
            // A second queue of a device with one.
            let second = tun::queues(&sandbox.netns, ("eth0", flags), 1, USER);
            assert!(second.is_err());
            call.after(&result).del();
        }
    });
}

/// Makes the container ask for a neighbour, and reads the asking addresses on the queues. A header of `before` bytes
/// precedes each frame.
fn ask_for_a_neighbour(sandbox: &Sandbox, queues: &[File], before: usize) -> [u8; 6] {
    const ARP: [u8; 2] = [8, 6];
    let socket = sandbox
        .netns
        .scope(|| UdpSocket::bind("0.0.0.0:0"))
        .unwrap();
    socket.unwrap().send_to(b"x", "10.1.0.77:9").unwrap();
    loop {
        let mut watched: Vec<PollFd<'_>> = queues
            .iter()
            .map(|queue| PollFd::new(queue.as_fd(), PollFlags::POLLIN))
            .collect();
        let patience = PollTimeout::try_from(60_000).unwrap();
        assert_ne!(poll(&mut watched, patience).unwrap(), 0, "no frame came");
        let ready: Vec<bool> = watched
            .iter()
            .map(|fd| fd.any().unwrap_or_default())
            .collect();
        for (mut queue, _) in queues.iter().zip(ready).filter(|(_, ready)| *ready) {
            let mut frame = [0; 2048];
            let len = queue.read(&mut frame).unwrap();
            let frame = &frame[before..len];
            if frame[12..14] == ARP {
                assert_eq!(frame[..6], [0xff; 6]);
                return frame[6..12].try_into().unwrap();
            }
        }
    }
}
