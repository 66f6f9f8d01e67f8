/* Settings of the group Run: rows of the table in settings_table.c, which says what SETTING is. */
SETTING(.name = "seed", .type = AM_SET_SEED, .offset = FIELD(seed), .fallback = "1", .min = 0,
        .max = COUNT_MAX, .help = "seed of the initial weights and of the validation split")
SETTING(.name = "sweeps", .type = AM_SET_REAL, .offset = FIELD(sweeps), .fallback = "100", .min = 0,
        .max = 1e9, .min_open = 1, .symbol = "K",
        .help = "stop after this many sweeps over all blocks; fcam, --stream, sgd, adam: passes over the "
                "samples, "
                "parts of one too")
SETTING(.name = "time-limit", .type = AM_SET_REAL, .offset = FIELD(time_limit), .fallback = "0", .min = 0,
        .max = NO_LIMIT, .unit = "s", .help = "stop after this much training time; 0: no limit")
SETTING(.name = "target-accuracy", .type = AM_SET_REAL, .offset = FIELD(target_accuracy), .fallback = "0",
        .min = 0, .max = 1,
        .help = "stop at this validation accuracy (training accuracy without validation data); 0: off")
SETTING(.name = "patience", .type = AM_SET_COUNT, .offset = FIELD(patience), .fallback = "0", .min = 0,
        .max = 1e9, .unit = "evaluations",
        .help = "stop after this many evaluations without a better validation result; 0: off")
SETTING(.name = "tolerance", .type = AM_SET_REAL, .offset = FIELD(tolerance), .fallback = "0", .min = 0,
        .max = 1, .help = "stop when the objective's relative change in a sweep falls below this; 0: off")
SETTING(.name = "eval-every", .type = AM_SET_COUNT, .offset = FIELD(eval_every), .fallback = "1", .min = 1,
        .max = 1e9, .unit = "sweeps", .help = "how often loss and accuracy are measured")
SETTING(.name = "subgradient", .type = AM_SET_CHOICE, .offset = FIELD(subgradient), .fallback = "no",
        .choices = no_yes_names,
        .help = "measure the norm of a subgradient of F after every sweep, outside the training time: two "
                "products a layer; the monitor needs it for the relative error b")
