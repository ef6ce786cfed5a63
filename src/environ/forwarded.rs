//! Who the client is, when proxies stand between it and us (S21): `Forwarded` (RFC 7239) and `X-Forwarded-*`.
//!
//! Nobody is believed who is not configured. From a peer outside of the trusted networks all such fields are removed; from one inside, those
//! that the operator did not name. A field that the proxy does not set itself is the client's word, so each has to be named.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::{Peer, ids::request_id, path::native};
use crate::{fault::ClientFault, tenant::Mount};

/// What a proxy may say of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Forwarding {
    /// `Forwarded` (RFC 7239): its parameters `for`, `proto` and `host`.
    Forwarded,
    /// `X-Forwarded-For`: the client's address.
    For,
    /// `X-Forwarded-Proto`: `http` or `https`.
    Proto,
    /// `X-Forwarded-Host`: what the client asked for as Host.
    Host,
    /// `X-Forwarded-Prefix`: the path that the proxy has taken off, which becomes the beginning of SCRIPT_NAME.
    Prefix,
    /// `X-Request-Id`: what the proxy calls the request, in its own log as well.
    RequestId,
}

/// The proxies that stand before the server. The default is none.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Proxies {
    /// Where they are.
    pub networks: Vec<IpNet>,
    /// How many of them a request comes through at most; the client's own words begin behind so many.
    pub hops: usize,
    /// What they set, or remove, of every request.
    pub fields: Vec<Forwarding>,
}

/// `wsgi.url_scheme`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// Encrypted, by a proxy that says so.
    Https,
}

impl Scheme {
    /// The scheme as an URI has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Where a request comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The client's address.
    pub client: IpAddr,
    /// Its port, where it is known.
    pub port: Option<u16>,
    /// How it asked.
    pub scheme: Scheme,
    /// The host name that it asked for.
    pub host: Option<String>,
    /// The path that a proxy has taken off.
    pub prefix: Mount,
    /// What a proxy calls the request.
    pub request_id: Option<String>,
}

/// S21: the fields by which proxies are known to speak of clients.
pub(super) fn speaks_of_clients(name: &str) -> bool {
    const ADDRESSES: [&str; 15] = [
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-remote-ip",
        "x-remote-addr",
        "x-originating-ip",
        "x-original-forwarded-for",
        "x-envoy-external-address",
        "x-azure-clientip",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "proxy-client-ip",
        "wl-proxy-client-ip",
        "forwarded",
    ];
    const PLACES: [&str; 9] = [
        "x-forwarded",
        "x-original-host",
        "x-host",
        "x-url-scheme",
        "x-scheme",
        "x-script-name",
        "x-original-url",
        "x-rewrite-url",
        "front-end-https",
    ];
    name.starts_with("x-forwarded-") || ADDRESSES.contains(&name) || PLACES.contains(&name)
}

const BAD: ClientFault = ClientFault::Malformed("what the proxy says of the client cannot be understood");

impl Forwarding {
    fn field(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Forwarded => "forwarded",
            Self::For => "x-forwarded-for",
            Self::Proto => "x-forwarded-proto",
            Self::Host => "x-forwarded-host",
            Self::Prefix => "x-forwarded-prefix",
            Self::RequestId => "x-request-id",
        })
    }
}

impl Proxies {
    /// Whether a proxy is at this address.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Where the request of `peer` comes from; removes what nobody may say.
    pub(super) fn origin(&self, fields: &mut HeaderMap, peer: Peer, host: Option<String>) -> Result<Origin, ClientFault> {
        let trusted = self.trusts(peer.0.ip());
        let heard = |name: &HeaderName| trusted && self.fields.iter().any(|forwarding| forwarding.field() == name);
        let deceiving: Vec<_> = fields.keys().filter(|name| speaks_of_clients(name.as_str()) && !heard(name)).cloned().collect();
        for name in deceiving {
            fields.remove(name);
        }
        let mut origin = Origin {
            client: peer.0.ip().to_canonical(),
            port: Some(peer.0.port()),
            scheme: Scheme::Http,
            host,
            prefix: Mount::default(),
            request_id: None,
        };
        if trusted {
            self.hear(fields, &mut origin)?;
        }
        Ok(origin)
    }

    /// Takes what the fields say. How many proxies the request came through is known from the addresses alone; of the other fields, each
    /// of those proxies has set the value or added one.
    fn hear(&self, fields: &HeaderMap, origin: &mut Origin) -> Result<(), ClientFault> {
        let said = |forwarding: Forwarding| {
            let lines: Vec<_> = fields.get_all(forwarding.field()).iter().map(|value| native(value.as_bytes())).collect();
            if self.fields.contains(&forwarding) { elements(&lines) } else { Ok(Vec::new()) }
        };
        let mut through = 1;
        if let Some(address) = self.followed(&said(Forwarding::For)?, node)? {
            origin.take(address);
            through = address.depth;
        }
        let last = |said: &[String]| said.len().checked_sub(through).or(said.len().checked_sub(1)).and_then(|at| said.get(at).cloned());
        if let Some(text) = last(&said(Forwarding::Proto)?) {
            origin.scheme = scheme(&text)?;
        }
        if let Some(text) = last(&said(Forwarding::Host)?) {
            origin.host = Some(text);
        }
        if let Some(text) = last(&said(Forwarding::Prefix)?) {
            origin.prefix = Mount::new(text.trim_end_matches('/')).map_err(|_| BAD)?;
        }
        if self.fields.contains(&Forwarding::RequestId) {
            origin.request_id = request_id(fields, &Forwarding::RequestId.field());
        }
        let elements = said(Forwarding::Forwarded)?;
        let of = |text: &str| Element::of(text)?.node.as_deref().map_or(Ok(None), node);
        if let Some(address) = self.followed(&elements, of)? {
            origin.take(address);
            let element = elements.len().checked_sub(address.depth).and_then(|at| elements.get(at));
            let Element { proto, host, .. } = element.map_or(Ok(Element::default()), |text| Element::of(text))?;
            if let Some(proto) = proto {
                origin.scheme = scheme(&proto)?;
            }
            origin.host = host.or(origin.host.take());
        }
        Ok(())
    }

    /// The address that names the client: each proxy adds one at the end, so they are read from there, as long as they are proxies. What
    /// stands before is the client's own, and is not looked at.
    fn followed(&self, said: &[String], node: impl Fn(&str) -> Result<Option<Node>, ClientFault>) -> Result<Option<Followed>, ClientFault> {
        let mut found = None;
        for (depth, text) in (1..).zip(said.iter().rev().take(self.hops)) {
            let node = node(text)?;
            found = Some(Followed { node, depth });
            if !node.is_some_and(|node| self.trusts(node.address)) {
                break;
            }
        }
        Ok(found)
    }
}

/// The element of a list that names the client.
#[derive(Clone, Copy, Debug)]
struct Followed {
    node: Option<Node>,
    /// Its place, counted from the end: so many proxies the request came through.
    depth: usize,
}

impl Origin {
    fn take(&mut self, Followed { node, .. }: Followed) {
        // A hidden address (`unknown`, `_name`) is not the proxy's: the proxy's stays, for there is no better one.
        if let Some(node) = node {
            (self.client, self.port) = (node.address.to_canonical(), node.port);
        }
    }
}

/// An address, and its port where it is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Node {
    address: IpAddr,
    port: Option<u16>,
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; None for one that is hidden (RFC 7239, section 6).
fn node(text: &str) -> Result<Option<Node>, ClientFault> {
    if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        return Ok(None);
    }
    let alone = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = alone.parse() {
        return Ok(Some(Node { address, port: None }));
    }
    // A port may be hidden as well.
    if let Some((address, _)) = text.split_once(":_") {
        return node(address);
    }
    let with_port: SocketAddr = text.parse().map_err(|_| BAD)?;
    Ok(Some(Node { address: with_port.ip(), port: Some(with_port.port()) }))
}

fn scheme(text: &str) -> Result<Scheme, ClientFault> {
    match text.to_ascii_lowercase().as_str() {
        "http" | "ws" => Ok(Scheme::Http),
        "https" | "wss" => Ok(Scheme::Https),
        _ => Err(BAD),
    }
}

/// The elements of a list, over all its lines; commas in quotes separate nothing.
fn elements(lines: &[String]) -> Result<Vec<String>, ClientFault> {
    let mut found = Vec::new();
    for line in lines {
        found.extend(split(line, ',')?);
    }
    Ok(found)
}

/// Splits at `separator` outside of quoted strings; parts are trimmed, empty ones left out.
fn split(text: &str, separator: char) -> Result<Vec<String>, ClientFault> {
    let (mut parts, mut part, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    if quoted {
        return Err(BAD);
    }
    parts.push(part);
    Ok(parts.iter().map(|part| part.trim_matches([' ', '\t']).to_owned()).filter(|part| !part.is_empty()).collect())
}

/// One element of `Forwarded`.
#[derive(Debug, Default)]
struct Element {
    node: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

impl Element {
    fn of(text: &str) -> Result<Self, ClientFault> {
        let mut element = Self::default();
        for pair in split(text, ';')? {
            let (name, value) = pair.split_once('=').ok_or(BAD)?;
            let value = unquoted(value)?;
            let place = match name.to_ascii_lowercase().as_str() {
                "for" => &mut element.node,
                "proto" => &mut element.proto,
                "host" => &mut element.host,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(BAD);
            }
        }
        Ok(element)
    }
}

/// A token as it is, and the text of a quoted string (RFC 9110, section 5.6.4).
fn unquoted(value: &str) -> Result<String, ClientFault> {
    let Some(inside) = value.strip_prefix('"') else { return if value.contains('"') { Err(BAD) } else { Ok(value.to_owned()) } };
    let inside = inside.strip_suffix('"').ok_or(BAD)?;
    let (mut text, mut escaped) = (String::new(), false);
    for c in inside.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Err(BAD),
            _ => {
                escaped = false;
                text.push(c);
            }
        }
    }
    if escaped { Err(BAD) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Forwarding; 5] = [Forwarding::Forwarded, Forwarding::For, Forwarding::Proto, Forwarding::Host, Forwarding::Prefix];

    fn proxies(hops: usize, fields: &[Forwarding]) -> Proxies {
        Proxies { networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()], hops, fields: fields.to_vec() }
    }

    fn origin(proxies: &Proxies, peer: &str, fields: &[(&str, &str)]) -> (Result<Origin, ClientFault>, HeaderMap) {
        let pairs = fields.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
        let mut map: HeaderMap = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        let found = proxies.origin(&mut map, Peer(peer.parse().unwrap()), Some("own.test".into()));
        (found, map)
    }

    fn told(proxies: &Proxies, fields: &[(&str, &str)]) -> String {
        let origin = origin(proxies, "10.0.0.1:99", fields).0.unwrap();
        let port = origin.port.map(|port| format!(" {port}")).unwrap_or_default();
        let host = origin.host.unwrap();
        format!("{}{port} {} {host} {}", origin.client, origin.scheme.as_str(), origin.prefix.script_name()).trim_end().to_owned()
    }

    const LIES: [(&str, &str); 8] = [
        ("Forwarded", "for=1.2.3.4;proto=https;host=evil"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Real-IP", "1.2.3.4"),
        ("X-Client-IP", "1.2.3.4"),
        ("X-Forwarded-Ssl", "on"),
    ];

    #[test]
    fn s21_who_is_not_trusted_is_not_believed_and_its_words_are_removed() {
        for proxies in [Proxies::default(), proxies(1, &ALL)] {
            let (found, rest) = origin(&proxies, "192.0.2.1:99", &LIES);
            let found = found.unwrap();
            assert_eq!((found.client, found.port, found.scheme), ([192, 0, 2, 1].into(), Some(99), Scheme::Http));
            assert_eq!((found.host.as_deref(), found.prefix.script_name(), rest.len()), (Some("own.test"), "", 0));
        }
    }

    #[test]
    fn s21_of_a_trusted_proxy_only_the_named_fields_are_heard() {
        let (found, rest) = origin(&proxies(1, &[Forwarding::For]), "10.0.0.1:99", &LIES);
        let found = found.unwrap();
        assert_eq!((found.client, found.scheme, found.host.as_deref()), ([1, 2, 3, 4].into(), Scheme::Http, Some("own.test")));
        assert_eq!(rest.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-forwarded-for"]);
        let x_fields = &ALL[1..];
        assert_eq!(told(&proxies(1, x_fields), &LIES), "1.2.3.4 https evil /evil");
        assert_eq!(told(&proxies(1, &[Forwarding::Forwarded]), &LIES), "1.2.3.4 https evil");
    }

    #[test]
    fn s21_addresses_are_followed_from_the_end_through_trusted_proxies_and_no_more_hops_than_there_are() {
        let x = |hops, value| told(&proxies(hops, &[Forwarding::For]), &[("X-Forwarded-For", value)]);
        assert_eq!(x(1, "6.6.6.6, 1.2.3.4"), "1.2.3.4 http own.test");
        assert_eq!(x(2, "6.6.6.6, 1.2.3.4"), "1.2.3.4 http own.test", "1.2.3.4 is no proxy");
        assert_eq!(x(2, "6.6.6.6, 1.2.3.4, 10.0.0.2"), "1.2.3.4 http own.test");
        assert_eq!(x(1, "6.6.6.6, 1.2.3.4, 10.0.0.2"), "10.0.0.2 http own.test");
        assert_eq!(x(9, "10.0.0.3, 10.0.0.2"), "10.0.0.3 http own.test");
        assert_eq!(x(1, "[2001:db8::1]:80"), "2001:db8::1 80 http own.test");
        assert_eq!(x(1, "garbage, 1.2.3.4"), "1.2.3.4 http own.test", "the client's own words are not looked at");
        assert_eq!(x(1, "1.2.3.4:_hidden"), "1.2.3.4 http own.test");
        assert_eq!(x(1, "unknown"), "10.0.0.1 99 http own.test");
        assert_eq!(x(1, ""), "10.0.0.1 99 http own.test");
        let mapped = origin(&proxies(1, &[Forwarding::For]), "[::ffff:10.0.0.1]:9", &[("X-Forwarded-For", "::ffff:1.2.3.4")]).0.unwrap();
        assert_eq!(mapped.client, IpAddr::from([1, 2, 3, 4]));
    }

    #[test]
    fn a_proxys_id_of_a_request_is_taken_over_where_it_is_named() {
        let id = |peer, names: &[Forwarding]| origin(&proxies(1, names), peer, &[("X-Request-Id", "a")]).0.unwrap().request_id;
        assert_eq!(id("10.0.0.1:99", &[Forwarding::RequestId]).as_deref(), Some("a"));
        assert_eq!(id("10.0.0.1:99", &[Forwarding::For]), None);
        assert_eq!(id("192.0.2.1:99", &[Forwarding::RequestId]), None, "who is no proxy is not believed");
    }

    #[test]
    fn s21_what_is_said_beside_addresses_is_taken_from_as_many_proxies_as_there_were() {
        let fields = [Forwarding::For, Forwarding::Proto, Forwarding::Host];
        let said = |hops, addresses, hosts| told(&proxies(hops, &fields), &[("X-Forwarded-For", addresses), ("X-Forwarded-Host", hosts)]);
        // Two proxies may be there; one was, and its client has said something of its own.
        assert_eq!(said(2, "1.2.3.4", "evil, real.test"), "1.2.3.4 http real.test");
        assert_eq!(said(2, "6.6.6.6, 1.2.3.4, 10.0.0.2", "evil, real.test, inner.test"), "1.2.3.4 http real.test");
        assert_eq!(said(2, "1.2.3.4, 10.0.0.2", "real.test"), "1.2.3.4 http real.test", "set, not added to");
        assert_eq!(told(&proxies(2, &[Forwarding::Host]), &[("X-Forwarded-Host", "evil, real.test")]), "10.0.0.1 99 http real.test");
    }

    #[test]
    fn rfc_7239_elements_are_read_with_their_quotes() {
        let forwarded = |value| told(&proxies(1, &[Forwarding::Forwarded]), &[("Forwarded", value)]);
        assert_eq!(
            forwarded("for=6.6.6.6, For=\"[2001:db8::1]:47\";Proto=HTTPS;by=x;host=\"a.test:8\\0\""),
            "2001:db8::1 47 https a.test:80"
        );
        assert_eq!(forwarded("for=_hidden;proto=https"), "10.0.0.1 99 https own.test");
        assert_eq!(forwarded("for=1.2.3.4;host=\"a,b;c\""), "1.2.3.4 http a,b;c");
    }

    #[test]
    fn what_a_trusted_proxy_garbles_is_refused() {
        for (name, value) in [
            ("X-Forwarded-For", "localhost"),
            ("X-Forwarded-For", "1.2.3.4:99999"),
            ("X-Forwarded-Proto", "gopher"),
            ("X-Forwarded-Prefix", "evil"),
            ("Forwarded", "for"),
            ("Forwarded", "for=\"1.2.3.4"),
            ("Forwarded", "for=1.2.3.4;for=1.2.3.5"),
            ("Forwarded", "for=1\"2\""),
        ] {
            assert_eq!(origin(&proxies(1, &ALL), "10.0.0.1:9", &[(name, value)]).0, Err(BAD), "{name}: {value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_trusted_proxy_says_is_understood_or_refused(
            hops in 0_usize..4,
            said in proptest::collection::vec((0_usize..5, "[ -~]{0,40}"), 0..4),
        ) {
            let fields: Vec<_> = said.iter().map(|(at, value)| (ALL[*at].field(), value)).collect();
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.trim())).collect();
            match origin(&proxies(hops, &ALL), "10.0.0.1:9", &fields).0 {
                Err(fault) => prop_assert_eq!(fault, BAD),
                // Nothing but what somebody said, or the peer itself.
                Ok(origin) => {
                    let client = origin.client.to_string();
                    let peer = client == "10.0.0.1";
                    prop_assert!(peer || hops > 0 && said.iter().any(|(_, text)| text.contains(|c: char| c.is_ascii_digit())), "{}", client);
                }
            }
        }
    }
}
