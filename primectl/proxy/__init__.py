"""The load balancer of one pool: `dispatch` decides, `run` carries it out."""
