"""Calls of paid models: each request is answered and paid once, whatever happens in between. `request` defines requests
and valid answers; `store` keeps answers and usage on the disk; `limiter` finds how many requests an endpoint can take;
`budget` stops before the limit is exceeded; `dispatch` runs them together.
"""
