//! The flags that say which proxies stand before the server, and what they may say of the client (S21).

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use crate::environ::{Forwarding, Proxies};

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Proxies")]
pub(super) struct ProxyFlags {
    /// A network of proxies that may say who the client is: 10.0.0.0/8, ::1/128; may be given again. Others are not believed
    #[arg(long, value_name = "NETWORK", requires = "proxy_headers")]
    trusted_proxy: Vec<IpNet>,
    /// What they say: each of these has to be set, or removed, by the proxy, for it is the client's word otherwise
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES", requires = "trusted_proxy")]
    proxy_headers: Vec<ForwardingName>,
    /// How many proxies a request comes through at most
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    proxy_hops: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ForwardingName {
    /// RFC 7239: for, proto, host
    Forwarded,
    /// The client's address
    XForwardedFor,
    /// http or https
    XForwardedProto,
    /// What the client asked for as Host
    XForwardedHost,
    /// The path that the proxy has taken off; it becomes the beginning of SCRIPT_NAME
    XForwardedPrefix,
    /// What the proxy calls the request; ours is called so too
    XRequestId,
}

impl ProxyFlags {
    /// The proxies, as the server takes them.
    pub(super) fn proxies(&self) -> Proxies {
        let forwarding = |name: &ForwardingName| match name {
            ForwardingName::Forwarded => Forwarding::Forwarded,
            ForwardingName::XForwardedFor => Forwarding::For,
            ForwardingName::XForwardedProto => Forwarding::Proto,
            ForwardingName::XForwardedHost => Forwarding::Host,
            ForwardingName::XForwardedPrefix => Forwarding::Prefix,
            ForwardingName::XRequestId => Forwarding::RequestId,
        };
        let fields = self.proxy_headers.iter().map(forwarding).collect();
        Proxies { networks: self.trusted_proxy.clone(), hops: self.proxy_hops.into(), fields }
    }
}
