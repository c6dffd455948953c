"""xds-server: the control plane for people who run Envoy and Consul without Kubernetes."""

__version__ = "0.1.0"
