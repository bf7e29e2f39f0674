"""Calls that cost something: asked once, answered once, paid once, whatever happens in between.

`request` says what is asked and when an answer counts; `store` keeps answers and usage on the disk; `limiter` finds how
many requests an endpoint bears; `budget` stops before more is spent than allowed; `dispatch` drives them together.
"""
