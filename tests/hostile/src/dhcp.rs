//! Any bytes as a frame to a DHCP client, as the content of one, as a `DHCPv6` message, and as a message on the
//! daemon's socket.

use linkspan_dhcp::{examine, examine_call, examine_six};

pub(crate) fn target(data: &[u8]) {
    examined(data);
    examined(&framed(data));
    examine_six(data);
    examine_call(data);
}

fn examined(frame: &[u8]) {
    let Some(result) = examine(frame) else {
        return;
    };
    for route in &result.routes {
        assert_eq!(route.dst.ip(), route.dst.network());
        assert!(route.mtu == 0 || route.mtu >= 68);
    }
    for word in result.dns.search.iter().chain([&result.dns.domain]) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        assert!(word.len() <= 253 && word.chars().all(fits), "{word:?}");
    }
}

/// A frame with `payload` for a client.
fn framed(payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(1472)];
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend(length(28 + payload.len()));
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 9]);
    frame.extend([0, 67, 0, 68]);
    frame.extend(length(8 + payload.len()));
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}
