"""The internet layer of one host: interfaces, neighbours, routes, IPv4 and IPv6 in and out, ICMP, path MTU.

It knows links (`pystack.link.base`) and formats (`pystack.wire`), and nothing of transports: datagrams go up through
`deliver`, notices about flows through `notify`. Addresses in here are raw octets (4 or 16), so that neither tables nor
transports care which IP version they belong to; text and `ipaddress` values are taken at the edge only, where
interfaces and routes are configured. What the IP versions do differently is in siblings: `ipv4` and `ipv6`,
`icmpv4` and `icmpv6`, and the two families of `family`. `Network` is the whole of it; each other module holds one
subject.
"""
