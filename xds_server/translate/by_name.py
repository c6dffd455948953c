"""Routes that find the cluster of a service by its name: the same ones for any number of services.

A plain service's cluster has the name that a Host header asks for, so one virtual host serves them all, and
one service more changes nothing in it. What has a cluster and must not be reached so is refused by a virtual
host of its own (`translate.exceptions`).
"""

import re
from string import Template
from typing import Final

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.route.v3.route_components_pb2 import ClusterSpecifierPlugin, HeaderMatcher, VirtualHost
from envoy.config.route.v3.route_components_pb2 import Route as EnvoyRoute
from envoy.extensions.router.cluster_specifiers.lua.v3.lua_pb2 import LuaConfig
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from xds_server.model.policy import ServicePolicy
from xds_server.model.route import Branch, Rule
from xds_server.translate import names
from xds_server.translate.packing import pack
from xds_server.translate.rules import envoy_routes

_HOST: Final = ":authority"

_NAMEABLE: Final = re.compile(r"[a-z0-9._-]+", re.ASCII)
_BARE: Final = "[a-z0-9_-]+"
_IN_CHAINS: Final = ".internal."
"""In the name of every cluster of a discovery chain, and so never in the answer to a Host header."""

# The answer depends on the header alone, so it is remembered; a flood of hosts only empties the memory.
# What no cluster can be called is answered with an empty name.
_SOURCE: Final = Template(
    """\
local suffixes = {$suffixes}
local known, room = {}, 1024

local function named(host)
  host = string.lower(host)
  host = string.match(host, "^(.*):%d+$$") or host
  for _, suffix in ipairs(suffixes) do
    if #host > #suffix and string.sub(host, -#suffix) == suffix then
      host = string.sub(host, 1, -#suffix - 1)
      break
    end
  end
  if string.find(host, "[^a-z0-9._-]") or string.find(host, "$chains", 1, true) then
    return ""
  end
  return host
end

function envoy_on_route(handle)
  local host = handle:headers():get(":authority")
  if host == nil or #host > 512 then
    return ""
  end
  local cluster = known[host]
  if cluster == nil then
    if room == 0 then
      known, room = {}, 1024
    end
    cluster = named(host)
    known[host], room = cluster, room - 1
  end
  return cluster
end
"""
)


def nameable(cluster: str) -> bool:
    """Tell whether there is a Host header that the routes would find this cluster by, were it not refused."""
    return _NAMEABLE.fullmatch(cluster) is not None and _IN_CHAINS not in cluster


def named(domain: str, datacenter: str) -> str:
    """Give the cluster that the Lua code finds for a domain, which is in small letters and without a port."""
    for suffix in _suffixes(datacenter):
        if domain.endswith(suffix) and len(domain) > len(suffix):
            domain = domain.removesuffix(suffix)
            break
    return domain if nameable(domain) else ""


def hosts_of(cluster: str, datacenter: str) -> tuple[str, ...]:
    """Give the domains that are found to mean a cluster; none where it cannot be named."""
    return tuple(
        domain for domain in names.domains(cluster, datacenter) if named(domain, datacenter) == cluster
    )


def virtual_host(name: str, domain: str, common: ServicePolicy, datacenter: str) -> VirtualHost:
    """Give the virtual host that leads each request to the cluster its Host header names.

    `common` is how these services are reached. A header that is the bare name of a cluster is read by Envoy
    itself, which costs a fraction of what Lua does; Lua sees those with a port or a longer name.
    """
    (bare,) = envoy_routes(Rule(branches=(Branch(cluster=_HOST),)), (common,))
    other = EnvoyRoute()
    other.CopyFrom(bare)
    bare.route.cluster_header = _HOST
    bare.match.headers.append(
        HeaderMatcher(name=_HOST, string_match=StringMatcher(safe_regex=RegexMatcher(regex=_BARE)))
    )
    other.route.inline_cluster_specifier_plugin.CopyFrom(_plugin(datacenter))
    return VirtualHost(name=name, domains=[domain], routes=[bare, other])


def _plugin(datacenter: str) -> ClusterSpecifierPlugin:
    # Nothing in a suffix ends a text of Lua: a datacenter that is no name has none.
    suffixes = ", ".join(f'"{suffix}"' for suffix in _suffixes(datacenter))
    code = _SOURCE.substitute(suffixes=suffixes, chains=_IN_CHAINS)
    config = LuaConfig(source_code=DataSource(inline_string=code))
    return ClusterSpecifierPlugin(
        extension=TypedExtensionConfig(name=names.LUA_SPECIFIER, typed_config=pack(config))
    )


def _suffixes(datacenter: str) -> tuple[str, ...]:
    """Give what may follow the name of a service in its domains, the longest first."""
    followed = (domain.removeprefix("x") for domain in names.domains("x", datacenter))
    return tuple(sorted(filter(None, followed), key=len, reverse=True))
