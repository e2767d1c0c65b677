//! Addresses and networks as people write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First and last address of `203.0.113.0/24`, `2001:db8::/48` or of a single address; host bits count as 0.
pub(crate) fn read(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    match address.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => {
            let hosts = u32::MAX.checked_shr(length.unwrap_or(32)).unwrap_or(0);
            let first = u32::from(address) & !hosts;
            let valid = length.is_none_or(|length| length <= 32);
            valid.then(|| (Ipv4Addr::from(first).into(), Ipv4Addr::from(first | hosts).into()))
        }
        IpAddr::V6(address) => {
            let hosts = u128::MAX.checked_shr(length.unwrap_or(128)).unwrap_or(0);
            let first = u128::from(address) & !hosts;
            let valid = length.is_none_or(|length| length <= 128);
            valid.then(|| (Ipv6Addr::from(first).into(), Ipv6Addr::from(first | hosts).into()))
        }
    }
}

/// The key of the pane of a network: the /24 of IPv4, the /48 of IPv6. `None` for any other length.
pub(crate) fn pane_key(text: &str) -> Option<String> {
    let (_, length) = text.split_once('/')?;
    let (first, _) = read(text)?;
    let expected = if first.is_ipv4() { "24" } else { "48" };
    (length == expected).then(|| format!("{first}/{length}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        read(text).map(|(first, last)| format!("{first} {last}"))
    }

    #[test]
    fn networks_are_ranges() {
        assert_eq!(of("203.0.113.7/24").as_deref(), Some("203.0.113.0 203.0.113.255"));
        assert_eq!(of("0.0.0.0/0").as_deref(), Some("0.0.0.0 255.255.255.255"));
        assert_eq!(of("::ffff:203.0.113.7").as_deref(), Some("203.0.113.7 203.0.113.7"));
        assert_eq!(of("2001:db8::/48").as_deref(), Some("2001:db8:: 2001:db8:0:ffff:ffff:ffff:ffff:ffff"));
        for wrong in ["", "203.0.113.7/33", "203.0.113/24", "::/129", "a/1", "203.0.113.7/-1"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(pane_key("203.0.113.9/24").as_deref(), Some("203.0.113.0/24"));
        assert_eq!(pane_key("203.0.113.0/16"), None);
    }
}
