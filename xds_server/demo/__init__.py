"""`xds-server demo`: a real Consul, a real Envoy, four small services and the control plane, on one machine.

`run.py` is the way in; `story.py` is the table of what runs; `service.py` is what the containers of the
compose file run as well. Everything else on this floor is one small part each.
"""
