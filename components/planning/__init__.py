"""The plan of a run before it starts: time, memory, disk, FLOPs and money, here and on other machines.

`work` says what each stage has to do, `costs` what that takes on this machine, `machines` what it takes on others, and
`published` how well that reproduces training runs of other people. Nothing here imports torch, so that a plan is quick.
"""
