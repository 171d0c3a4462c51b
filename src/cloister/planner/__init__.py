"""From a request, an agreement and public facts to the plan that everybody is asked to admit.

`planner` chooses, `cost` weighs, `explain` says it in words. Nothing here does I/O, reads a clock or knows a
protection by name.
"""
