//! The routes of a message: option 121, or option 33 and a default route by option 3 (RFC 3442).

use std::net::{IpAddr, Ipv4Addr};

use linkspan_protocol::addr::Cidr;
use linkspan_protocol::result::Route;

use super::message::Message;
use super::option;

/// `RT_SCOPE_LINK` of linux/rtnetlink.h; the reference sets it on routes without a router.
const SCOPE_LINK: i64 = 253;

/// The server's routes. If option 121 has any, the other options are ignored.
pub(crate) fn routes(message: &Message) -> Vec<Route> {
    let option = |code| message.options.get(&code).map(Vec::as_slice);
    let classless = classless(option(option::ROUTES).unwrap_or_default());
    if let Some(routes) = classless.filter(|routes| !routes.is_empty()) {
        return routes;
    }
    let mut routes = by_class(option(option::STATIC_ROUTES).unwrap_or_default());
    let router = message.addresses(option::ROUTERS).first().copied();
    routes.extend(router.map(|router| {
        let router = IpAddr::from(router);
        Route::via(Cidr::default_of(router), Some(router))
    }));
    routes
}

/// Decodes option 121; `None` if any part is invalid.
fn classless(option: &[u8]) -> Option<Vec<Route>> {
    let (mut routes, mut rest) = (Vec::new(), option);
    while let Some((prefix, after)) = rest.split_first() {
        let significant = usize::from(*prefix).div_ceil(8);
        let (digits, after) = after.split_at_checked(significant)?;
        let (router, after) = after.split_first_chunk::<4>()?;
        rest = after;
        let mut network = [0; 4];
        network.get_mut(..significant)?.copy_from_slice(digits);
        let dst = Cidr::new(Ipv4Addr::from(network).into(), *prefix)?;
        let dst = Cidr::new(dst.network(), *prefix)?;
        let router = Ipv4Addr::from(*router);
        routes.push(Route {
            scope: router.is_unspecified().then_some(SCOPE_LINK),
            ..Route::via(dst, Some(router.into()))
        });
    }
    Some(routes)
}

/// Option 33: pairs of a destination and a router.
fn by_class(option: &[u8]) -> Vec<Route> {
    let pairs = option.chunks_exact(8).filter_map(|pair| {
        let [a, b, c, d, router @ ..] = <[u8; 8]>::try_from(pair).ok()?;
        let prefix = match a {
            0..128 => 8,
            128..192 => 16,
            _ => 24,
        };
        let dst = Cidr::new(Ipv4Addr::new(a, b, c, d).into(), prefix)?;
        let dst = Cidr::new(dst.network(), prefix)?;
        Some(Route::via(dst, Some(Ipv4Addr::from(router).into())))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::super::message::Kind;
    use super::super::option::Options;
    use super::*;

    fn told(options: Options) -> Vec<String> {
        let message = Message::new(Kind::Ack, 1, [0; 6], options);
        let text = |route: Route| {
            let scope = route.scope.map(|scope| format!(" scope {scope}"));
            format!(
                "{} {}{}",
                route.dst,
                route.gw.unwrap(),
                scope.unwrap_or_default()
            )
        };
        routes(&message).into_iter().map(text).collect()
    }

    #[test]
    fn option_121_is_the_only_one_where_it_gives_a_route() {
        let routers = (option::ROUTERS, vec![10, 0, 0, 1]);
        let by_class = (option::STATIC_ROUTES, vec![192, 168, 7, 0, 10, 0, 0, 2, 1]);
        let classless = vec![
            0, 10, 0, 0, 9, 24, 192, 168, 5, 10, 0, 0, 3, 16, 172, 16, 0, 0, 0, 0,
        ];
        let all = Options::from([
            routers.clone(),
            by_class.clone(),
            (option::ROUTES, classless),
        ]);
        assert_eq!(
            told(all),
            [
                "0.0.0.0/0 10.0.0.9",
                "192.168.5.0/24 10.0.0.3",
                "172.16.0.0/16 0.0.0.0 scope 253"
            ]
        );
        for broken in [
            vec![],
            vec![33, 1, 2, 3, 4, 5, 10, 0, 0, 1],
            vec![24, 10, 0],
        ] {
            let some = Options::from([routers.clone(), by_class.clone(), (option::ROUTES, broken)]);
            assert_eq!(
                told(some),
                ["192.168.7.0/24 10.0.0.2", "0.0.0.0/0 10.0.0.1"]
            );
        }
    }

    #[test]
    fn without_routes_there_are_none() {
        assert!(told(Options::new()).is_empty());
    }
}
