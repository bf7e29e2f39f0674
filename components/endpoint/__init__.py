"""Calls to paid models: each request is answered and paid for once, even if the run is interrupted. `request` defines requests
and valid answers; `store` keeps answers and usage on disk; `limiter` finds how many requests an endpoint can take;
`budget` stops before the limit is exceeded; `dispatch` runs them together.
"""
