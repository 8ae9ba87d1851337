"""The datasets as they are distributed: one file a dataset, native layout -> index and scan.

A file's stem is the dataset's id. Its one subclass of `FaceDataModule` defined there is the dataset.
"""
