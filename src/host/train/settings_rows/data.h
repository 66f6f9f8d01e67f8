/* Settings of the group Data: rows of the table in settings_table.c, which says what SETTING is. */
SETTING(.name = "data", .type = AM_SET_TEXT, .offset = FIELD(data), .fallback = "digits",
        .help = "training data: digits (embedded), mnist, fashion-mnist, a folder with the four standard IDX "
                "files, or a CSV, TSV, NPY, LIBSVM or IDX file")
SETTING(.name = "test", .type = AM_SET_TEXT, .offset = FIELD(test), .fallback = "none", .unset = "none",
        .help = "test data, named like --data; sets and folders that bring a test part use it by themselves")
SETTING(.name = "label", .type = AM_SET_TEXT, .offset = FIELD(label), .fallback = "last", .unset = "last",
        .help = "CSV column that holds the label: a name, or an index from 0 (negative: from the end); none: "
                "the file has no labels")
SETTING(.name = "header", .type = AM_SET_CHOICE, .offset = FIELD(header), .fallback = "auto",
        .choices = header_names, .choice_first = -1,
        .help = "is the first CSV line a header with column names?")
SETTING(.name = "task", .type = AM_SET_CHOICE, .offset = FIELD(task), .fallback = "auto",
        .choices = task_names, .choice_first = -1,
        .help = "what labels mean; auto: classes when they are text or few whole numbers, else values")
SETTING(.name = "valid", .type = AM_SET_REAL, .offset = FIELD(valid_fraction), .fallback = "0.1", .min = 0,
        .max = 1, .max_open = 1,
        .help = "share of the training data held out for validation (stratified by class, drawn by --seed)")
SETTING(.name = "scale", .type = AM_SET_CHOICE, .offset = FIELD(scaling), .fallback = "auto",
        .choices = scaling_names,
        .help = "scaling of features, fitted on training data and stored in the model; auto: unit for bytes, "
                "standardise for real numbers, none for sparse data")
SETTING(.name = "residency", .type = AM_SET_CHOICE, .offset = FIELD(residency), .fallback = "auto",
        .choices = residency_names,
        .help =
            "where features lie during training; device: in the backend's memory as floats; bytes: there "
            "as bytes, a quarter of the room; host: in host memory, sent chunk by chunk; disk: the same out "
            "of a mapped IDX or NPY file; auto: the first that fits. All give the same numbers; all but "
            "device need a method that goes in chunks")
