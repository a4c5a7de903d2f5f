"""The whole house on real `qcluster` processes: the guide's flow, lateness, several clusters, crashes.

Each test plays a scene (`scenes.py`) in a process of its own, with its own database and its own clusters, and asserts
on the facts that the scene reports. Whatever a scene started is killed when it ends, however it ends.
"""
