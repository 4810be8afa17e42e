"""The internet layer of one host: interfaces, neighbours, routes, IPv4 in and out, ICMP, path MTU.

It knows links (`pystack.link.base`) and formats (`pystack.wire`), and nothing of transports: datagrams go up through
`deliver`, notices about flows through `notify`. Addresses in here are raw octets (4 or 16), so that neither tables nor
transports care which IP version they belong to; text and `ipaddress` values are taken at the edge only, where
interfaces and routes are configured. `Network` is the whole of it; each other module holds one subject.
"""
