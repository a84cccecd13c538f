//! A VPN: a tun device of the host, served by a process in user space, to an office behind it.

use linkspan_harness::tun::{NAME, Tunnel};
use linkspan_harness::world::{add_address, lead};

use crate::stage::Stage;
use crate::{Kind, conversation};

pub(crate) const KIND: Kind = Kind {
    build,
    ask: |stage| match &stage.tunnel {
        Some(_) => conversation::answers(stage, TABLE),
        None => Vec::new(),
    },
};

const HERE: [&str; 2] = ["10.8.0.1", "fd08::1"];
const THERE: [&str; 2] = ["10.8.0.2", "fd08::2"];

fn build(stage: &mut Stage<'_>) {
    let lab = stage.lab;
    let office = stage.enter("office");
    let Some(tunnel) = Tunnel::between(lab.host(), &office.netns) else {
        return;
    };
    for (rtnl, addresses) in [(lab.rtnl(), HERE), (office.rtnl(), THERE)] {
        let link = rtnl.link_by_name(NAME).unwrap().unwrap();
        link.set_up().unwrap();
        for address in addresses {
            add_address(&link, address.parse().unwrap());
        }
    }
    lead(office, NAME, &HERE);
    stage.tunnel = Some(tunnel);
}

const TABLE: &str = "
    # caller  from                  calls                   server  at                      seen
    host      10.8.0.1:20007        10.8.0.2:20008          office  10.8.0.2:20008          10.8.0.1
    host      192.0.2.1:20007       10.8.0.2:20008          office  10.8.0.2:20008          192.0.2.1
    office    10.8.0.2:20007        10.8.0.1:9000           host    10.8.0.1:9000           10.8.0.2
    office    10.8.0.2:20007        192.0.2.1:9000          host    192.0.2.1:9000          10.8.0.2
    host      127.0.0.1:9001        10.8.0.1:9000           host    10.8.0.1:9000           127.0.0.1
    world     192.0.2.2:20007       10.8.0.2:20008          office  10.8.0.2:20008          192.0.2.2
    office    10.8.0.2:20007        192.0.2.2:20008         world   192.0.2.2:20008         10.8.0.2
    office    10.8.0.2:20007        198.51.100.2:9          -       -                       -
    host      [fd08::1]:20007       [fd08::2]:20008         office  [fd08::2]:20008         fd08::1
    host      [2001:db8::1]:20007   [fd08::2]:20008         office  [fd08::2]:20008         2001:db8::1
    office    [fd08::2]:20007       [fd08::1]:9000          host    [fd08::1]:9000          fd08::2
    office    [fd08::2]:20007       [2001:db8::1]:9000      host    [2001:db8::1]:9000      fd08::2
    host      [::1]:9001            [fd08::1]:9000          host    [fd08::1]:9000          ::1
    world     [2001:db8::2]:20007   [fd08::2]:20008         office  [fd08::2]:20008         2001:db8::2
    office    [fd08::2]:20007       [2001:db8::2]:20008     world   [2001:db8::2]:20008     fd08::2
    office    [fd08::2]:20007       [2001:db8:1::2]:9       -       -                       -
";
