# SPDX-License-Identifier: Apache-2.0
"""The stories, one module for a family of requests. Importing this package tells `session.STORIES` of all of them."""
import importlib
import pkgutil

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")
