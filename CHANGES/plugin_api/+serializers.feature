`rest.Serializer` makes unsaved rows from dictionaries by the rules of the API, `rest.ContextValidator` checks rows against the
database, and `rest.ViewSet.ReadOnly` leaves out update, delete, labels and modify.
