"""The main job on a real small service: ``imt demo``.

``service`` is what runs, ``scene`` starts, breaks and mends it, ``watcher`` measures it and
raises the alert, ``play`` brings it through an incident. Nothing in it is scripted: every word
about the service comes from what was measured.
"""
