"""The TLS directory of this host, and what is done to it by hand.

Begin with `store`, which knows every file of the directory; `settings` is the one that people write. `safe_files` and
`locks` are how it is read and written, `founding` and `provisioning` what commands do to it, `status` what they show.
`this_host` and `processes` are about the machine, `trust_system` about its browsers.
"""
