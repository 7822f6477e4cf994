"""The record of an incident: an index page, a page for each executed notebook, the log, and a
manifest with the hash of each. Readable offline without scripts, verifiable without imtkit.
"""

from imtkit.record.build import Record, build_record
from imtkit.record.manifest import verify_record
from imtkit.record.page import Pages

__all__ = ["Pages", "Record", "build_record", "verify_record"]
