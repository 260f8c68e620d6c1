//! Which addresses may be connected to. A name is nobody's promise: whoever answers for it in DNS says where it leads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why nothing is ever connected to at this address; none if it may be. Private networks and loopback may be: that is
/// where directories, and other servers of a house, stand.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.octets()[0] == 0 {
        Some("unspecified")
    } else if address.is_broadcast() {
        Some("for broadcasts")
    } else if address.is_multicast() {
        Some("for multicast")
    } else if address.is_link_local() {
        Some("link-local, where cloud providers hand out credentials")
    } else {
        None
    }
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("unspecified")
    } else if address.is_multicast() {
        Some("for multicast")
    } else if address.is_unicast_link_local() {
        Some("link-local")
    } else {
        inner(address).and_then(refusal_v4)
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped (`::ffff:0:0/96`), compatible (`::/96`, but for `::1`), or
/// translated by NAT64 (`64:ff9b::/96`).
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let nat64 = segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let compatible = segments[..6] == [0; 6] && address != Ipv6Addr::LOCALHOST;
    let [.., a, b, c, d] = address.octets();
    (nat64 || compatible).then_some(Ipv4Addr::new(a, b, c, d)).or_else(|| address.to_ipv4_mapped())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_spelling_leads_around_a_refusal(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = address.octets().map(u16::from);
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
            for other in [address.to_ipv6_mapped(), nat64] {
                prop_assert_eq!(refusal(other.into()), refusal(address.into()));
            }
        }
    }

    #[test]
    fn what_no_server_stands_at_is_refused_in_every_spelling() {
        for text in [
            "0.0.0.0",
            "0.0.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "169.254.169.254",
            "169.254.0.1",
            "::",
            "ff02::1",
            "fe80::1",
            "febf:ffff::1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "::ffff:224.0.0.1",
            "::ffff:255.255.255.255",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
        ] {
            assert!(refusal(text.parse().unwrap()).is_some(), "{text}");
        }
    }

    #[test]
    fn where_servers_stand_is_not() {
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.253.255.255",
            "169.255.0.0",
            "203.0.113.7",
            "223.255.255.255",
            "::1",
            "fd00::1",
            "2001:db8::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
        ] {
            assert_eq!(refusal(text.parse().unwrap()), None, "{text}");
        }
    }
}
