/* Settings of the group Machine: rows of the table in settings_table.c, which says what SETTING is. */
SETTING(.name = "backend", .type = AM_SET_CHOICE, .offset = FIELD(backend), .fallback = "auto",
        .choices = backend_names, .help = "where to compute; auto says what it chose")
SETTING(.name = "gram", .type = AM_SET_CHOICE, .offset = FIELD(gram), .fallback = "auto",
        .choices = gram_names,
        .help = "how Gram products run on cpu; auto: measured at the start. The two round differently, so a "
                "run repeats bit for bit under the same choice (shown and logged with the backend); the "
                "number of threads does not matter")
SETTING(.name = "threads", .type = AM_SET_COUNT, .offset = FIELD(threads), .fallback = "0", .min = 0,
        .max = 4096, .help = "threads to use; 0: all cores")
SETTING(.name = "precision", .type = AM_SET_CHOICE, .offset = FIELD(precision), .fallback = "auto",
        .choices = precision_names,
        .help = "arithmetic of products on cuda, sums in fp32: tf32 and bf16 round what is multiplied; auto: "
                "tf32. cpu and ref always compute in fp32 or better")
SETTING(.name = "launch", .type = AM_SET_CHOICE, .offset = FIELD(launch), .fallback = "graph",
        .choices = launch_names,
        .help = "how a sweep is sent to cuda; graph: recorded once and replayed; stream: op by op; sync: op "
                "by op, waiting for each, so that times and places of errors are exact")
