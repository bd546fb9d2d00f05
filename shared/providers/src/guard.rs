//! Which addresses may be called. Users name the hosts of their trackers, so a name may lead anywhere:
//! to this machine, to the runtime's own endpoints, into the network beside us.
//!
//! A URL is judged twice: by its form before anything happens, and by what its host resolves to when a
//! connection is opened, which then goes to the very addresses that were judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

const PORTS: [u16; 4] = [80, 443, 8080, 8443];

/// Networks of IPv4 that are not the Internet: first address and length of the prefix.
const RESERVED_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Azure's counterpart of the metadata service.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// What IPv6 gives to the Internet. Everything outside is loopback, mapped or translated IPv4, local or
/// multicast, and not worth a list.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What is not the Internet even so: tunnels, which carry an IPv4 address, and documentation.
const RESERVED_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether the address is one of the Internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let within = |&(network, length): &(Ipv4Addr, u32)| {
                (address.to_bits() ^ network.to_bits()) >> (32 - length) == 0
            };
            !RESERVED_V4.iter().any(within)
        }
        IpAddr::V6(address) => {
            let within = |&(network, length): &(Ipv6Addr, u32)| {
                (address.to_bits() ^ network.to_bits()) >> (128 - length) == 0
            };
            within(&GLOBAL_V6) && !RESERVED_V6.iter().any(within)
        }
    }
}

/// The rules, with the exceptions of whoever runs this installation.
#[derive(Debug)]
pub(crate) struct Guard {
    allowed: Vec<Allowed>,
}

#[derive(Debug)]
struct Allowed {
    host: String,
    port: Option<u16>,
}

impl Guard {
    /// An exception is a host, or a host and a port. The error is the first that is neither.
    pub(crate) fn new(allowed: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
            let url = Url::parse(&format!("http://{text}/")).ok();
            let allowed = url.as_ref().and_then(|url| {
                let bare = url.path() == "/" && url.username().is_empty();
                let allowed = Allowed {
                    host: without_dot(url.host_str()?).to_owned(),
                    port: url.port(),
                };
                bare.then_some(allowed)
            });
            allowed.ok_or_else(|| text.clone())
        };
        let allowed = allowed.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { allowed })
    }

    /// Judges a URL by its form. `None`: it must not be called.
    pub(crate) fn admits_url(&self, text: &str) -> Option<Url> {
        // What one parser drops and another takes for a part of the host.
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return None;
        }
        let mut url = Url::parse(text).ok()?;
        let (host, port) = (url.host()?, url.port_or_known_default()?);
        let allowed = self.allows(url.host_str()?, port);
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && allowed);
        let anonymous = url.username().is_empty() && url.password().is_none();
        let public = match host {
            Host::Domain(name) => !without_dot(name).split('.').any(str::is_empty),
            Host::Ipv4(address) => is_public(address.into()),
            Host::Ipv6(address) => is_public(address.into()),
        };
        let fits = scheme && anonymous && (allowed || (public && PORTS.contains(&port)));
        url.set_fragment(None);
        fits.then_some(url)
    }

    /// Judges a host by everything that it resolves to: one address too many is one to fall back on.
    pub(crate) fn admits_addresses(&self, host: &str, port: u16, all: &[SocketAddr]) -> bool {
        let public = all.iter().all(|address| is_public(address.ip()));
        !all.is_empty() && (public || self.allows(host, port))
    }

    fn allows(&self, host: &str, port: u16) -> bool {
        let host = without_dot(host);
        self.allowed.iter().any(|allowed| {
            let ports = allowed.port.map_or(PORTS.contains(&port), |p| p == port);
            ports && allowed.host.eq_ignore_ascii_case(host)
        })
    }
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests;
